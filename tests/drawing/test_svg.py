"""Drawings place what they draw where its value is, say what it is, and stay readable on any page."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plotly.subplots import make_subplots

from kadapter.drawing import arcs, static, svg
from kadapter.drawing.svg_axes import ticks, values
from kadapter.errors import KAdapterError
from kadapter.report import look

SVG = "{http://www.w3.org/2000/svg}"


def texts(drawing):
    return {e.text: (float(e.get("x")), float(e.get("y"))) for e in ET.fromstring(drawing).iter(f"{SVG}text")}


def marks(drawing):
    """Where the markers stand, in pixels."""
    found = ET.fromstring(drawing).iter(f"{SVG}path")
    return [tuple(map(float, re.findall(r"-?[\d.]+", m.get("transform")))) for m in found if m.get("class") == "mark"]


def test_a_marker_stands_where_the_axis_says():
    """Read back from the tick labels alone, as a person would with a ruler."""
    x, y = [1.0, 2.5, 4.0], [10.0, 35.0, 20.0]
    drawing = svg.draw(go.Figure(go.Scatter(x=x, y=y, mode="markers")).to_dict())
    at = texts(drawing)
    (x1, base), (x3, _) = at["1"], at["3"]
    level = {name: low - 4 for name, (_, low) in at.items() if low < base - 1}  # a label's foot is 4 pixels lower
    for (px, py), a, b in zip(marks(drawing), x, y, strict=True):
        assert 1 + 2 * (px - x1) / (x3 - x1) == pytest.approx(a, abs=0.02)
        assert 10 + 20 * (py - level["10"]) / (level["30"] - level["10"]) == pytest.approx(b, abs=0.1)
    heights = [py for _, py in marks(drawing)]
    assert heights[0] > heights[2] > heights[1]  # larger values are higher up


def test_bars_are_as_long_as_their_values():
    figure = go.Figure(go.Bar(x=[3, 6, 1.5], y=["a", "b", "c"], orientation="h", text=["3", "6", "1.5"]))
    widths = [float(r.get("width")) for r in ET.fromstring(svg.draw(figure.to_dict())).iter(f"{SVG}rect")]
    assert widths[1] / widths[0] == pytest.approx(2, abs=0.01) and widths[0] / widths[2] == pytest.approx(2, abs=0.01)


def test_a_box_has_the_quartiles():
    """Numbers 0 to 100: quartiles at 25, 50 and 75, whiskers at the ends."""
    figure = go.Figure(go.Box(x=list(range(101)), y=["g"] * 101, orientation="h"))
    figure.update_xaxes(range=[0, 100])
    root = ET.fromstring(svg.draw(figure.to_dict()))
    box = next(root.iter(f"{SVG}rect"))
    width = float(box.get("width"))
    lines = [line for line in root.iter(f"{SVG}line") if line.get("stroke") == "#0072b2"]
    length = abs(float(lines[0].get("x2")) - float(lines[0].get("x1")))
    assert width == pytest.approx(2 * length, abs=0.3)  # half of the numbers are in the box, a quarter in a whisker
    median = float(lines[-1].get("x1"))
    assert median == pytest.approx(float(box.get("x")) + width / 2, abs=0.2)


def test_shared_panels_legend_and_arrays():
    figure = make_subplots(1, 2, shared_yaxes=True, subplot_titles=["left <b>one</b>", "right"])
    for column in (1, 2):
        figure.add_trace(
            go.Scatter(
                x=np.arange(3.0),
                y=np.array(["p", "q", "p"], object),
                name=f"t{column}",
                error_x={"array": [1] * 3},
            ),
            row=1,
            col=column,
        )
    drawing = svg.draw(look.styled(figure, 300).to_dict())
    found = texts(drawing)
    assert {"left one", "right", "t1", "t2", "p", "q"} <= set(found)
    assert len(marks(drawing)) == 6 + 2  # two in the legend
    left, right = marks(drawing)[:3], marks(drawing)[3:6]
    assert [y for _, y in left] == [y for _, y in right]


def test_texts_are_escaped():
    figure = go.Figure(go.Scatter(x=['<b>a</b> & "c"'], y=[1], mode="markers+text", text=["&lt;script&gt;"]))
    drawing = svg.draw(figure.to_dict())
    assert "<script>" not in drawing and "&lt;script&gt;" in drawing
    assert 'a & "c"' in texts(drawing)


def test_what_has_no_drawing_is_said_and_left_out():
    figure = go.Figure(go.Pie(values=[1, 2]))
    with pytest.raises(KAdapterError, match="pie trace has no still drawing; these have: scatter, bar, box, heatmap"):
        static.draw(figure)
    assert list(static.bundle(figure)) == [static.PLOTLY]
    assert list(static.bundle(go.Figure(go.Bar(x=[1], y=[2])))) == [static.PLOTLY, static.SVG]


def test_a_renderer_that_somebody_chose_stays(monkeypatch):
    import plotly.io

    for chosen, expected in (("png", "png"), (static.NOTEBOOK, static.NAME)):
        monkeypatch.setattr(plotly.io.renderers, "default", chosen)
        static.use()
        assert plotly.io.renderers.default == expected
    monkeypatch.undo()


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_inside_and_evenly_apart(low, width):
    found = np.array(ticks(low, low + width))
    assert 2 <= len(found) <= 8
    slack = 1e-6 * width
    assert found[0] >= low - slack and found[-1] <= low + width + slack
    assert np.allclose(np.diff(found), found[1] - found[0], rtol=1e-3)


def test_values_of_every_form():
    for column in ([1.0, 2.0], (1.0, 2.0), np.array([1.0, 2.0]), pd.Series([1.0, 2.0])):
        assert values(go.Figure(go.Scatter(x=column)).to_dict()["data"][0]["x"]) == [1.0, 2.0]
    assert values(None) == []


def test_a_title_stands_below_turned_names():
    names = [f"a rather long name {i}" for i in range(12)]
    figure = go.Figure(go.Bar(x=names, y=list(range(12)))).update_xaxes(title="what they are")
    root = ET.fromstring(svg.draw(figure.to_dict()))
    at = {e.text: e for e in root.iter(f"{SVG}text")}
    assert "rotate(-35" in at[names[0]].get("transform")
    # a turned text's lowest letter: its foot and what 35 degrees make of its length
    lowest = float(at[names[0]].get("y")) + 0.574 * 0.5 * float(at[names[0]].get("font-size")) * len(names[0])
    assert lowest < float(at["what they are"].get("y")) <= float(root.get("viewBox").split()[3])


def luminance(colour):
    """WCAG's relative luminance of `#rrggbb` or `rgb(r,g,b)`."""
    parts = re.findall(r"[0-9a-f]{2}", colour) if colour.startswith("#") else re.findall(r"\d+", colour)
    channels = np.array([int(p, 16) if colour.startswith("#") else int(p) for p in parts]) / 255
    return np.where(channels <= 0.03928, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4) @ [
        0.2126,
        0.7152,
        0.0722,
    ]


@pytest.mark.parametrize("scale", [look.DIVERGING, [[0, "#ffffff"], [1, "#000000"]]])
def test_what_is_written_on_a_heatmap_is_readable_on_any_page(scale):
    z = np.linspace(-1, 1, 9)[None]
    figure = go.Figure(go.Heatmap(z=z, text=[[str(i) for i in range(9)]], texttemplate="%{text}", colorscale=scale))
    root = ET.fromstring(svg.draw(figure.to_dict()))
    cells = [e for e in root.iter(f"{SVG}rect")]
    inks = [e for e in root.iter(f"{SVG}text") if e.get("font-size") and e.get("fill") in ("#000000", "#ffffff")]
    assert len(cells) == len(inks) == 9 and {e.get("fill-opacity") for e in cells} == {"1"}
    for cell, ink in zip(cells, inks, strict=True):
        low, high = sorted(map(luminance, (cell.get("fill"), ink.get("fill"))))
        assert (high + 0.05) / (low + 0.05) >= 4.5


def test_an_axis_reaches_zero_where_it_is_told_to():
    figure = go.Figure(go.Scatter(x=[40, 80], y=[1, 2], mode="markers"))
    assert "0" not in texts(svg.draw(figure.to_dict()))
    assert "0" in texts(svg.draw(figure.update_xaxes(rangemode="tozero").to_dict()))


def test_a_bar_is_as_opaque_as_its_marker_says():
    for how in ({"marker": {"opacity": 0.4}}, {"opacity": 0.4}):
        root = ET.fromstring(svg.draw(go.Figure(go.Bar(x=["a"], y=[1], **how)).to_dict()))
        assert next(root.iter(f"{SVG}rect")).get("fill-opacity") == "0.4"


def test_arcs_do_not_cross_and_say_what_they_show():
    words = ["<i>The</i>", "dog", "barked", "."]
    drawing = arcs.draw(words, [2, 3, 0, 3], ["det", "nsubj", "root", "punct"], ["DET", "NOUN", "VERB", "PUNCT"])
    root = ET.fromstring(drawing)
    assert len([p for p in root.iter(f"{SVG}path") if p.get("class") == "arc"]) == 4
    assert "<i>" not in drawing and "dog: nsubj of barked" in root.get("aria-label")
    more = arcs.draw(words, [2, 3, 0, 3], ["x"] * 4, ["X"] * 4, predicted=[3, 3, 0, 3])
    assert more.count("stroke-dasharray") == 1


@given(st.integers(1, 12).flatmap(lambda n: st.lists(st.integers(0, n), min_size=n, max_size=n)))
def test_an_arc_is_above_all_that_it_spans(heads):
    heads = [0 if head == word else head for word, head in enumerate(heads, 1)]
    height = arcs.levels(heads)
    spans = [(min(w, h), max(w, h), height[w - 1]) for w, h in enumerate(heads, 1) if h]
    for low, high, level in spans:
        for left, right, other in spans:
            if low <= left and right <= high and right - left < high - low:
                assert level > other


def test_bars_of_height_zero_alone_are_drawn():
    assert "<svg" in svg.draw(go.Figure(go.Bar(x=["a", "b"], y=[0, 0])).to_dict())
