"""Pictures: drawings place what they draw where its value is, and what is drawn is computed right."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plotly.subplots import make_subplots
from sklearn.metrics import confusion_matrix

from kadapter import catalog
from kadapter.cases.cases import Cases
from kadapter.drawing import arcs, static, svg
from kadapter.drawing.svg_axes import ticks, values
from kadapter.errors import KAdapterError
from kadapter.model.adapter import build_adapter
from kadapter.model.backbone import Backbone
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.report import figures, pictures
from tests import tiny

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
    drawing = svg.draw(figures.styled(figure, 300).to_dict())
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


def cases_of(true, logits):
    labels = ["a", "b", "c"]
    frame = pd.DataFrame(
        {"example_id": "", "text": "t", "mentions": [[]] * len(true), "true": [[labels[t]] for t in true]}
    )
    right = np.stack([one.argmax(-1) == true for one in logits])
    return Cases(["backbone", "F"], labels, frame, np.stack(logits).astype(np.float32), right)


def test_confusion_is_scikit_learns():
    rng = np.random.default_rng(0)
    true = rng.integers(3, size=60)
    logits = [rng.normal(size=(60, 3)) for _ in range(2)]
    cases = cases_of(true, logits)
    wanted = [confusion_matrix(true, one.argmax(-1), normalize="true") for one in logits]
    np.testing.assert_allclose(pictures.confusion(cases, "F"), wanted[1])
    figure = pictures.confusion_difference(cases, "F", "backbone")
    np.testing.assert_allclose(figure.data[0].z, 100 * (wanted[1] - wanted[0]))
    part = pictures.confusion_difference(cases, "F", "backbone", labels=2)
    assert list(part.data[0].x)[-1] == pictures.OTHERS
    np.testing.assert_allclose(np.sum(part.data[0].z, axis=1), 0, atol=1e-9)  # what one label loses another gains
    static.draw(part)


def test_attachment_by_hand():
    """Two sentences; distances 1, 2, root and 1; the word two away is wrong."""
    heads = [[2, 0, 1], [2, 0]]
    references = [np.array([2, 0, 1]), np.array([2, 0])]
    decided = [np.array([2, 0, 2]), np.array([2, 0])]
    table = pictures.attachment(heads, decided, references).set_index("length")
    assert table["words"].to_dict() == {"root": 2, "1": 2, "2": 1}
    assert table["uas"].to_dict() == {"root": 1.0, "1": 1.0, "2": 0.0}
    assert (table["ci_low"] <= table["uas"]).all() and (table["uas"] <= table["ci_high"]).all()
    drawing = static.draw(pictures.uas_by_length({"L": table.reset_index()}))
    assert {"root", "1", "2", "L"} <= set(texts(drawing))


def test_plug_layers_are_those_of_the_model(tiny_folder):
    model = KnowledgeModel(Backbone(str(tiny_folder)))
    model.plug("F", build_adapter(tiny.sizes())).plug("L", build_adapter(tiny.sizes(plug_layers=[1, 4])))
    figure = pictures.plug_layers(model)
    squares = [t for t in figure.data if t.marker.symbol == "square" and "adapter" in (t.hovertext or [""])[0]]
    assert [list(t.x) for t in squares] == [[0, 2, 3], [1, 4]]
    assert {"h0", "h4", "fusion", "adapter L"} <= set(texts(static.draw(figure)))
    model.set_task(catalog.task("relation", labels=["a", "b"])).unplug("L")
    figure = pictures.plug_layers(model)
    assert {"adapter L (unplugged)", "relation"} <= set(texts(static.draw(figure)))


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
