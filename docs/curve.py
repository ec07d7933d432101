"""Draws docs/images/curve.svg: the score on Re-DocRED against the knowledge text of the factual adapter.

kadapter run curve && python docs/curve.py [RUNS]
"""

import sys
from pathlib import Path

import plotly.graph_objects as go

from kadapter import runs
from kadapter.drawing import svg
from kadapter.report import report

PICTURE = Path(__file__).resolve().parent / "images" / "curve.svg"
COLOURS = {"backbone": "#888888", "none": "#d9a441"}


def figure(rows: list[dict], read: dict[str, int]) -> go.Figure:
    """One point for each adapter, with its 95% interval, over the sentences that it read; rows without any as lines."""
    drawn = go.Figure()
    points = sorted((row for row in rows if row["model"] in read), key=lambda row: read[row["model"]])
    sizes = [read[row["model"]] for row in points]
    for row in rows:
        if row["model"] in COLOURS:
            line = {"color": COLOURS[row["model"]], "dash": "dash"}
            drawn.add_scatter(
                x=[sizes[0], sizes[-1]], y=2 * [100 * row["mean"]], name=row["model"], mode="lines", line=line
            )
    up, down = ([100 * abs(row[end] - row["mean"]) for row in points] for end in ("ci_high", "ci_low"))
    drawn.add_scatter(
        x=sizes, y=[100 * row["mean"] for row in points], name="F", mode="lines+markers", line={"color": "#2f6db3"},
        error_y={"array": up, "arrayminus": down, "thickness": 1.5},
    )  # fmt: skip
    drawn.update_xaxes(
        type="log", title="sentences read in pre-training", tickvals=sizes, ticktext=[f"{n:,}" for n in sizes]
    )
    drawn.update_yaxes(title="Re-DocRED, micro F1")
    return drawn.update_layout(height=360)


def main() -> None:
    root = sys.argv[1] if len(sys.argv) > 1 else "runs"
    read = {run.path.name: run.examples for run in runs.find(root, "curve") if run.path.parent.name == "pretrain"}
    PICTURE.write_text(svg.draw(figure(report.rows(root, "curve"), read).to_dict()), encoding="utf-8")
    print(PICTURE)


if __name__ == "__main__":
    main()
