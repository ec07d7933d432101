"""The worked examples of CONTRIBUTING.md, carried out: each is one file and one line in a copy of the tree, and prints
what stands below it."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
VIEW = "application/vnd.jupyter.widget-view+json"
_CODE = r"```python\n(?P<{}>.*?)```\n"
_EXAMPLE = re.compile(
    r"`(?P<file>[\w/]+\.py)`:\n\n" + _CODE.format("content") + r".*?"
    r"One line in `(?P<registry>[\w/]+\.py)`, below `(?P<anchor>[^`]+)`:\n\n" + _CODE.format("line") + r".*?"
    r"Then.*?:\n\n" + _CODE.format("use") + r"\n```text\n(?P<printed>.*?)```\n",
    re.DOTALL,
)


@dataclass(frozen=True)
class Example:
    """A new file, a line below an anchor in an old one, code that uses them, and what it prints."""

    file: str
    content: str
    registry: str
    anchor: str
    line: str
    use: str
    printed: str

    def add(self, tree: Path) -> None:
        """Carry it out in a copy of the tree."""
        new, registry = tree / self.file, tree / self.registry
        assert not new.exists() and self.line.count("\n") == 1
        new.write_text(self.content, encoding="utf-8")
        text = registry.read_text(encoding="utf-8")
        assert text.count(f"{self.anchor}\n") == 1
        registry.write_text(text.replace(f"{self.anchor}\n", f"{self.anchor}\n{self.line}"), encoding="utf-8")


def examples() -> dict[str, Example]:
    """Heading -> example."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## Four worked examples")[1]
    found = {}
    for section in text.split("\n### ")[1:]:
        match = _EXAMPLE.search(section)
        assert match, section.splitlines()[0]
        found[section.splitlines()[0]] = Example(**match.groupdict())
    return found


EXAMPLES = examples()


@pytest.fixture
def tree(tmp_path) -> Path:
    """A copy of the packages."""
    for package in ("kadapter", "widgets"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "elsewhere").mkdir()
    return tmp_path


def test_there_are_four():
    assert list(EXAMPLES) == ["A dataset", "A kind of knowledge", "A probe or metric", "A widget"]


@pytest.mark.parametrize("name", list(EXAMPLES)[:3])
def test_an_example_prints_what_stands_below_it(name, tree):
    example = EXAMPLES[name]
    example.add(tree)
    done = subprocess.run(
        [sys.executable, "-c", example.use],
        cwd=tree / "elsewhere",
        env=os.environ | {"PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == example.printed


def test_the_widget_is_displayed_with_its_static_picture(tree, monkeypatch):
    example = EXAMPLES["A widget"]
    example.add(tree)
    monkeypatch.setenv("PYTHONPATH", str(tree))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(example.use)])
    NotebookClient(notebook, resources={"metadata": {"path": str(tree / "elsewhere")}}).execute()
    outputs = notebook.cells[0].outputs
    printed = "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")
    shown = [output.data for output in outputs if output.output_type == "display_data"]
    assert printed == example.printed
    assert any(VIEW in data for data in shown)
    assert any("<table>" in data.get("text/html", "") for data in shown)
    assert all(data["text/plain"].startswith("ModelParts: 2 parts, ") for data in shown)


def test_the_examples_keep_the_habits(tree):
    """All four at once: format, lint and the plan of imports, as `make check` asks for them."""
    for example in EXAMPLES.values():
        example.add(tree)
    tools = [sys.executable, "-m", "ruff"]
    for command in (
        [*tools, "check", "--no-cache", "."],
        [*tools, "format", "--no-cache", "--check", "."],
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"],
    ):
        environment = os.environ | {"PYTHONPATH": str(tree)}
        done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
