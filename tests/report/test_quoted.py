"""Numbers in Markdown are those of their runs: written by one function, told where they differ, else left alone."""

import shutil

import pytest
import yaml

from kadapter.cli import quoted as command
from kadapter.errors import KAdapterError
from kadapter.report import quoted, report
from tests.report.test_report import write_all

PAGE = """# Numbers

<!-- quoted: made scores relation -->
| to be | written |
<!-- end -->

F has <!-- quoted: made one typing paper F mean -->0.0<!-- end --> percent there.

<!-- quoted: never scores -->
| as | it was |
<!-- end -->
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkout")
    (folder / "docs").mkdir()
    entries = {
        "made": {"preset": "synthetic"},
        "never": {"preset": "embedded", "set": ["seeds=[0]"], "root": "elsewhere"},
    }
    (folder / "docs" / "quoted.yaml").write_text(yaml.safe_dump(entries), encoding="utf-8")
    (folder / "README.md").write_text("# Nothing is quoted here\n", encoding="utf-8")
    (folder / "docs" / "page.md").write_text(PAGE, encoding="utf-8")
    write_all(folder / "runs", {"backbone": 0.16, "none": 0.17, "F": 0.62})
    return folder


def test_numbers_are_written_and_then_agree(checkout, capsys):
    page = checkout / "docs" / "page.md"
    assert command.main("check", checkout=checkout) == 1
    told = capsys.readouterr().out
    assert "docs/page.md: made scores relation: it says '| to be | written |', the runs say '| task |" in told
    assert "no runs of never here: kadapter run embedded --set 'seeds=[0]' --root elsewhere" in told.replace(
        "--set seeds=[0]", "--set 'seeds=[0]'"
    )
    assert page.read_text(encoding="utf-8") == PAGE
    assert command.main("write", checkout=checkout) == 0
    written = page.read_text(encoding="utf-8")
    rows = {(r["task"], r["regime"], r["model"]): r for r in report.rows(checkout / "runs", "synthetic")}
    mean = rows["relation", "frozen", "F"]["mean"]
    assert f"| relation | frozen | `F` | micro F1 | {100 * mean:.1f} |" in written and "typing | frozen" not in written
    assert f"mean -->{100 * rows['typing', 'paper', 'F']['mean']:.1f}<!-- end --> percent" in written
    assert "| as | it was |" in written
    assert command.main("check", checkout=checkout) == 0
    assert "docs/page.md: 2 of 2 as the runs say" in capsys.readouterr().out


def test_a_changed_number_is_told(checkout, capsys):
    command.main("write", checkout=checkout)
    page = checkout / "docs" / "page.md"
    whole = page.read_text(encoding="utf-8")
    line = next(line for line in whole.splitlines() if "| `F` |" in line)
    page.write_text(whole.replace(line, line.replace("| micro F1 | ", "| micro F1 | 9")), encoding="utf-8")
    assert command.main("check", checkout=checkout) == 1
    assert line in capsys.readouterr().out
    page.write_text(whole, encoding="utf-8")


@pytest.mark.parametrize(
    "words, start",
    [
        ("made differences relation", "| task | regime | model | to `none`, 95% interval | p (Holm) |"),
        ("made components", "| task | regime | model | test examples | fine-tuning | pre-training | pre-trainings |"),
        ("made costs typing", "| row | seconds | of processor | peak memory, GiB | parameters trained |"),
        ("made made", "11 stages, 0 processor minutes; commit "),
    ],
)
def test_other_kinds(checkout, words, start):
    text = f"<!-- quoted: {words} -->\n\n<!-- end -->"
    found = quoted.compared(text, quoted.sources(checkout), checkout)
    body = found.text.split("-->\n", 1)[1]
    assert body.startswith(start) and found.stale
    assert quoted.compared(found.text, quoted.sources(checkout), checkout).stale == []


@pytest.mark.parametrize(
    "words, message",
    [
        ("other scores", "unknown quoted runs 'other'"),
        ("made picture", "unknown kind of quotation 'picture'"),
        ("made scores poetry", "unknown task of the runs of preset 'synthetic' 'poetry'"),
        ("made one typing paper F", "quoted number: found 'typing paper F'; expected task, regime, model and what"),
        ("made one typing paper G mean", "unknown quoted row 'typing paper G'"),
        ("made one typing paper F colour", "unknown value of a row 'colour'"),
    ],
)
def test_what_cannot_be_quoted(checkout, words, message):
    with pytest.raises(KAdapterError, match=message.replace("(", r"\(")):
        quoted.compared(f"<!-- quoted: {words} --><!-- end -->", quoted.sources(checkout), checkout)


def test_the_project_quotes_runs_that_its_manifest_names():
    from pathlib import Path

    from kadapter.experiment import preset

    checkout = Path(__file__).resolve().parents[2]
    known = quoted.sources(checkout)
    for source in known.values():
        preset.load(source.preset, source.overrides)
    files = quoted.quoting(checkout)
    assert files
    for file in files:
        for opening in quoted.BLOCK.findall(file.read_text(encoding="utf-8")):
            name, kind, *_ = opening[1].split()
            assert name in known and kind in quoted.KINDS


def test_runs_are_made_by_the_command(tmp_path, monkeypatch):
    """`run` executes the pipeline of each name, then writes."""
    shutil.rmtree(tmp_path / "docs", ignore_errors=True)
    (tmp_path / "docs").mkdir()
    entry = {"tiny": {"preset": "embedded", "set": ["seeds=[0]"], "root": "runs/quoted/tiny"}}
    (tmp_path / "docs" / "quoted.yaml").write_text(yaml.safe_dump(entry), encoding="utf-8")
    (tmp_path / "README.md").write_text("# Nothing\n", encoding="utf-8")
    made = []

    class Noted:
        def __init__(self, loaded, root, tell, command):
            self.what = (loaded["name"], loaded["seeds"], root, command)

        def run(self):
            made.append(self.what)

    monkeypatch.setattr(command, "Pipeline", Noted)
    assert command.main("run", checkout=tmp_path) == 0
    words = "kadapter run embedded --set seeds=[0] --root runs/quoted/tiny"
    assert made == [("embedded", [0], tmp_path / "runs/quoted/tiny", words)]
