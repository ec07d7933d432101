"""Draws docs/images/growth.svg: time and memory of pre-training against the number of sentences.

kadapter bench growth --json > growth.json && python docs/growth.py growth.json
"""

import json
import sys
from pathlib import Path

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from kadapter.drawing import svg

PICTURE = Path(__file__).resolve().parent / "images" / "growth.svg"


def figure(rows: list[dict]) -> go.Figure:
    """Two panels over the number of sentences: seconds (writing the store, and all), gigabytes (memory, store)."""
    sentences = [row["sentences"] for row in rows]
    drawn = make_subplots(1, 2, subplot_titles=("seconds", "gigabytes"), horizontal_spacing=0.1)
    lines = (
        ("store written, one epoch trained", [row["seconds"] for row in rows], 1),
        ("store written", [row["seconds_of_writing"] for row in rows], 1),
        ("memory above the start", [row["memory_growth_bytes"] / 1e9 for row in rows], 2),
        ("store on disk", [row["store_bytes"] / 1e9 for row in rows], 2),
    )
    for name, values, column in lines:
        drawn.add_trace(go.Scatter(x=sentences, y=values, name=name, mode="lines+markers"), 1, column)
    drawn.update_xaxes(title="sentences")
    drawn.update_yaxes(rangemode="tozero")
    return drawn.update_layout(height=360)


def main() -> None:
    rows = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["rows"]
    PICTURE.write_text(svg.draw(figure(rows).to_dict()), encoding="utf-8")
    print(PICTURE)


if __name__ == "__main__":
    main()
