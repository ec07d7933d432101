"""The report counts what knowledge and tests share, as the data stage counted it."""

import json

import pytest

from kadapter import runs
from kadapter.report import shared

ROW = {"knowledge": "wiki<80>", "split": "train", "downstream": "fewrel", "part": "test"}
NOTHING = dict.fromkeys(("text", "pair", "fact", "text_of_part", "pair_of_part", "fact_of_part", "removed"), 0)
COUNTED = {"text": 7, "pair": 12, "fact": 9, "text_of_part": 6, "pair_of_part": 11, "fact_of_part": 8, "removed": 10}


@pytest.fixture
def told(tmp_path):
    """What the section says of a data stage that counted these rows."""

    def tell(overlap: dict) -> str:
        run = runs.begin(tmp_path / "synthetic/data/all", stage="data", name="all", parameters={})
        manifest = {"source": {}, "datasets": {}} | ({"overlap": overlap} if overlap else {})
        run.path("data.json").write_text(json.dumps(manifest))
        run.finish({"datasets": 0})
        return shared.section(runs.find(tmp_path, "synthetic"))

    return tell


def test_counts_of_both_sides_and_what_was_removed(told):
    text = told({"rule": "remove", "rows": [ROW | COUNTED, ROW | NOTHING | {"part": "dev"}]})
    assert "wiki&lt;80&gt;" in text and "<td>dev</td>" not in text  # only rows in which something is shared
    numbers = [f'<td class="n">{n}</td>' for n in (7, 12, 9, 6, 11, 8, 10)]
    assert "".join(numbers) in text and "taken out of the knowledge" in text
    assert "left in the knowledge" in told({"rule": "keep", "rows": [ROW | COUNTED]})


def test_nothing_is_said_to_be_nothing(told):
    assert told({"rule": "remove", "rows": [ROW | NOTHING] * 3}).startswith("<p>Nothing: no text and no pair")
    assert told({"rule": "remove", "rows": []}) == "" == told({})


def test_a_run_whose_files_were_moved_away_is_left_out(told, tmp_path):
    told({"rule": "remove", "rows": [ROW | COUNTED]})
    runs.begin(tmp_path / "synthetic/data/moved", stage="data", name="moved", parameters={}).finish({"datasets": 0})
    assert shared.section(runs.find(tmp_path, "synthetic")).count("<table") == 1
