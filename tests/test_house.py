"""The plan of the house holds: imports point down, `kadapter/` shows few files, and the habits' tools are wired."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
TOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
LAYERS, CIRCLES = TOOLS["importlinter"]["contracts"]
NOTEBOOKS = [*(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "widgets").glob("*.ipynb")]


def run(command, folder: Path, **more) -> subprocess.CompletedProcess:
    """A command of this environment in a folder whose own packages are imported."""
    there = {"PYTHONPATH": str(folder), "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(command, cwd=folder, env=os.environ | there, capture_output=True, text=True, **more)


def lint(folder: Path) -> subprocess.CompletedProcess:
    return run(["lint-imports", "--no-cache"], folder)


@pytest.fixture
def copy(tmp_path) -> Path:
    """A copy of the packages and of the contracts."""
    for package in ("kadapter", "widgets"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_contracts_are_kept():
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


def test_an_import_that_points_up_fails_and_both_files_are_named(copy):
    low = copy / "kadapter/formats/triples.py"
    low.write_text(low.read_text() + "\nfrom kadapter.report import page  # noqa\n")
    done = lint(copy)
    line = len(low.read_text().splitlines())
    assert done.returncode == 1
    assert f"kadapter.formats.triples -> kadapter.report.page (l.{line})" in done.stdout


def test_a_circle_within_a_wing_fails(copy):
    low = copy / "kadapter/formats/files.py"
    low.write_text(low.read_text() + "\nfrom kadapter.formats import triples  # noqa\n")  # which imports files
    done = lint(copy)
    assert done.returncode == 1
    assert "kadapter.formats" in done.stdout and ".triples -> .files" in done.stdout


def test_every_wing_has_its_place_in_the_contracts():
    home = ROOT / "kadapter"
    wings = {f"kadapter.{path.parent.name}" for path in home.glob("*/__init__.py")}
    files = {f"kadapter.{path.stem}" for path in home.glob("[a-z]*.py")}
    layers = {name.strip() for layer in LAYERS["layers"] for name in layer.split("|")}
    assert layers == wings | files | {"widgets"}
    told = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## The plan")[1].split("\n## ")[0]
    for wing in wings:
        assert f"| `{wing.removeprefix('kadapter.')}/` |" in told
    assert set(CIRCLES["ancestors"]) == wings | {"widgets"}


def test_the_plan_is_seen_at_one_glance():
    shown = [path.name for path in (ROOT / "kadapter").iterdir() if path.is_file()]
    assert len(shown) <= 6, sorted(shown)


def test_types_are_part_of_the_package():
    packed = TOOLS["setuptools"]["package-data"]
    for package in ("kadapter", "widgets"):
        assert (ROOT / package / "py.typed").is_file() and "py.typed" in packed[package]


def test_types_are_checked_without_blanket_ignores():
    settings = TOOLS["mypy"]
    assert settings["files"] == ["kadapter", "widgets"]
    assert not {"ignore_errors", "ignore_missing_imports", "follow_imports", "exclude", "disable_error_code"} & set(
        settings
    )
    for override in settings["overrides"]:
        assert set(override) == {"module", "ignore_missing_imports"}
        assert all(
            name.endswith(".*") and name.split(".")[0] not in ("kadapter", "widgets") for name in override["module"]
        )
    for package in ("kadapter", "widgets"):
        for path in (ROOT / package).rglob("*.py"):
            assert not re.search(r"#\s*type:\s*ignore(?!\[)|#\s*mypy:", path.read_text(encoding="utf-8")), path
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    check = makefile.split("\ncheck:")[1].split("\n\n")[0]
    assert all(f"$(BIN)/{tool}" in check for tool in ("ruff format --check", "ruff check", "lint-imports", "mypy"))
    assert "\nmake check\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


# --- pre-commit ---

HOOKS = {
    hook["id"]: hook
    for repo in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    for hook in repo["hooks"]
}


def test_pre_commit_reads_its_configuration():
    done = run(["pre-commit", "validate-config"], ROOT)
    assert done.returncode == 0 and not done.stdout, done.stdout + done.stderr


def test_committed_notebooks_have_no_outputs():
    done = run(["nbstripout", "--keep-id", "--verify", *map(str, NOTEBOOKS)], ROOT)
    assert done.returncode == 0, done.stdout


def test_hooks_mend_what_a_person_commits(copy):
    """pre-commit itself, in a repository of its own: a notebook with an output, a crooked file and an upward import."""
    for name in (".pre-commit-config.yaml", ".gitignore"):
        shutil.copy(ROOT / name, copy)
    notebook = copy / "look.ipynb"
    cells = json.loads(NOTEBOOKS[0].read_text())
    code = next(cell for cell in cells["cells"] if cell["cell_type"] == "code")
    code["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["a secret"]}]
    notebook.write_text(json.dumps(cells, indent=1) + "\n")
    crooked = copy / "kadapter/formats/crooked.py"
    crooked.write_text(
        '"""Crooked."""\nfrom kadapter.report import page\nimport os\nNAMES = [ os.sep,page.__name__ ]\n'
    )
    environment = {"PRE_COMMIT_HOME": str(copy / ".cache"), "SKIP": "types"} | {
        f"GIT_{role}_{part}": value
        for role in ("AUTHOR", "COMMITTER")
        for part, value in (("NAME", "a"), ("EMAIL", "a@b"))
    }
    steps = (
        "git init -q . && git add pyproject.toml .pre-commit-config.yaml kadapter widgets look.ipynb"
        " && pre-commit run --files look.ipynb kadapter/formats/crooked.py"
    )
    done = run(["env", *(f"{k}={v}" for k, v in environment.items()), "sh", "-c", steps], copy)
    assert done.returncode == 1
    verdicts = {hook: f"- hook id: {hook}\n" in done.stdout for hook in HOOKS}
    assert verdicts == dict.fromkeys(HOOKS, True) | ({"types": False} if "types" in HOOKS else {}), done.stdout
    assert "a secret" not in notebook.read_text()
    assert crooked.read_text().endswith("NAMES = [os.sep, page.__name__]\n")
    assert "kadapter.formats.crooked -> kadapter.report.page" in done.stdout
