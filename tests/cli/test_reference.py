"""The page of every value says what the checks check."""

from dataclasses import fields
from pathlib import Path

import typer

from kadapter.cli import reference
from kadapter.cli.main import app
from kadapter.model.config import AdapterConfig
from kadapter.training.settings import Settings

PAGE = Path(__file__).resolve().parents[2] / "docs/values.md"


def test_the_page_is_up_to_date(tmp_path):
    reference.main(str(tmp_path / "values.md"))
    same = (tmp_path / "values.md").read_text(encoding="utf-8") == PAGE.read_text(encoding="utf-8")
    assert same, "a value changed: run python -m kadapter.cli.reference docs/values.md"


def test_the_page_has_every_value_with_its_meaning():
    page = PAGE.read_text(encoding="utf-8")
    lines = {line.split(" | ")[0].strip("|` "): line for line in page.splitlines() if line.startswith("| `")}
    for field in (*fields(AdapterConfig), *fields(Settings)):
        assert field.name in lines
    assert "a whole number from 1 to 128 | `2` | transformer layers in each adapter layer" in lines["layers"]
    assert "a number from 0 to 1 | `0.15` | share of those that state the relation" in lines["stated"]
    without = [line for line in lines.values() if line.split(" | ")[-1].strip(" |") == ""]
    assert not without, "a value without a meaning"
    waiting = [typer.main.get_command(app)]
    while waiting:
        children = getattr(waiting.pop(), "commands", {})
        waiting += children.values()
        assert all(f"kadapter {name}`" in page or f" {name}`" in page or c.commands for name, c in children.items())
