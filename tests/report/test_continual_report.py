"""The report of kinds learned one after another, on runs whose numbers are made up and whose answers are worked out."""

import json

import numpy as np
import pytest

from kadapter import catalog, runs
from kadapter.drawing import static
from kadapter.report import continual, report
from kadapter.scoring import continual as definitions

KINDS, ORDERS, SEEDS = ["A", "L", "B"], ["A-L-B", "B-A-L"], [0, 1]


def score(row: str, learned: list[str], kind: str, seed: int) -> float:
    """0.1 before, 0.9 when learned; `full` has lost 0.3 with every later kind."""
    if kind not in learned:
        return 0.1
    after = len(learned) - 1 - learned.index(kind)
    return round(0.9 - 0.01 * seed - (0.3 * after if row == "full" else 0.0), 6)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    for row in ("multitask", "full", "kadapter"):  # not in their order
        for seed in SEEDS:
            rows, costs = [], []
            for order in ORDERS:
                for stage in range(4):
                    learned = order.split("-")[:stage]
                    named = {"row": row, "order": order, "seed": seed, "stage": stage}
                    for kind in KINDS:
                        same = None if kind not in learned else float(row != "full" or kind == learned[-1])
                        value = score(row, learned, kind, seed)
                        rows.append({**named, "kind": kind, "metric": "x", "score": value, "n": 10, "unchanged": same})
                    last = {
                        "kind": "typing",
                        "metric": "micro F1",
                        "score": 0.2 + 0.1 * stage,
                        "n": 9,
                        "unchanged": None,
                    }
                    rows.append(named | last)
                    spent = {
                        "seconds": 20.0 * bool(stage),
                        "cpu_seconds": 10.0 * bool(stage),
                        "trained": 7,
                        "beside": 0,
                    }
                    answers = {"stored": 1000 * stage, "seconds_per_1000": 1.0 + stage}
                    costs.append({**named, "learned": learned[-1] if learned else "", **spent, **answers})
            run = runs.begin(
                root / "p" / "continual" / f"{row}-{seed}", stage="continual", name=f"{row}-{seed}", parameters={}
            )
            run.finish(metrics={"x": 1.0}, rows=rows, costs=costs, kinds=KINDS, downstream="typing", orders=ORDERS)
    return root


def test_the_table_is_what_the_definitions_say(root):
    found = continual.measured(root, "p")
    assert found.rows == ["kadapter", "full", "multitask"] and found.orders == ORDERS
    table = continual.table(found).set_index("row")
    assert table.loc["kadapter", "forgetting"] == table.loc["kadapter", "backward_transfer"] == 0.0
    assert table.loc["kadapter", "unchanged"] == 1.0 and table.loc["full", "unchanged"] == 0.0
    assert table.loc["full", "forgetting"] == pytest.approx((0.6 + 0.3) / 2)
    assert table.loc["full", "average_accuracy"] == pytest.approx((0.895 * 3 - 0.9) / 3)
    assert table.loc["full", "downstream"] == pytest.approx(0.5)
    assert table.loc["full", ["seconds", "cpu_seconds", "stored", "seconds_per_1000"]].tolist() == [60, 30, 3000, 4]
    assert continual.lost(found, "A", "A-L-B") == pytest.approx({"kadapter": 0, "full": 0.6, "multitask": 0})
    square = definitions.matrix(
        found.scores[
            (found.scores["row"] == "full")
            & (found.scores["order"] == "B-A-L")
            & (found.scores["seed"] == 0)
            & (found.scores["kind"] != "typing")
        ],
        ["B", "A", "L"],
    )
    assert square == pytest.approx(np.array([[0.1] * 3, [0.9, 0.1, 0.1], [0.6, 0.9, 0.1], [0.3, 0.6, 0.9]]))


def test_rows_of_the_command_line(root):
    rows = report.rows(root, "p")
    assert {row["model"] for row in rows} == {"kadapter", "full", "multitask"}
    by_name = {(row["model"], row["metric"]): row for row in rows}
    kept = by_name["kadapter", "forgetting"]
    assert kept["mean"] == kept["std"] == kept["ci_low"] == kept["ci_high"] == 0.0 and kept["n"] == 4
    assert kept["seeds"] == 2 and kept["task"] == "continual" and kept["regime"] == "3 kinds"
    lost = by_name["full", "average accuracy"]
    assert lost["ci_low"] <= lost["mean"] <= lost["ci_high"] and lost["std"] > 0
    json.dumps(rows)
    assert continual.measured(root, "nothing") is None and report.rows(root, "nothing") == []


def test_pictures_can_be_seen_without_a_kernel(root):
    found = continual.measured(root, "p")
    drawn = {
        "matrices": continual.matrices(found, "B-A-L"),
        "lines": continual.lines(found),
        "costs": continual.costs(found),
    }
    for figure in drawn.values():
        svg = static.draw(figure)
        assert svg.startswith("<svg") and "full fine-tuning" in svg
    heat = drawn["matrices"].data[1]
    assert list(heat.x) == ["B", "A", "L", "typing"] and heat.z[3][0] == pytest.approx(29.5)
    line = next(t for t in drawn["lines"].data if t.name == "full fine-tuning")
    assert list(line.y) == pytest.approx([89.5, 74.5, 59.5])
    stored = [t for t in drawn["costs"].data if t.name.startswith("K-Adapter")][1]
    assert list(stored.y) == pytest.approx([0, 0.001, 0.002, 0.003])


def test_every_row_has_a_name_and_a_look():
    for looks in (continual.NAMES, continual.COLOURS, continual.SYMBOLS):
        assert set(looks) >= set(catalog.CONTINUAL)
    assert len(set(continual.COLOURS.values())) == len(continual.COLOURS)


def test_the_section_says_it_all(root):
    text = continual.section(continual.measured(root, "p"))
    for said in (
        "K-Adapter: one adapter each",
        "What it costs",
        "A → L → B",
        "B → A → L",
        "Chaudhry",
        "continual-costs",
    ):
        assert said in text
