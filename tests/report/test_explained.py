"""Pictures of attention and of representations: every number and every case is in them; texts are shown, not run."""

import numpy as np

from kadapter.drawing import static
from kadapter.report import explained

NASTY = "<script>x</script>"


def test_attention_shows_every_weight_and_names_repeated_tokens_apart():
    weights = np.random.default_rng(0).dirichlet(np.ones(4), size=4)
    figure = explained.attention(["the", "lake", "the", NASTY], weights, "F, hidden state 3")
    (heat,) = figure.data
    np.testing.assert_allclose(heat.z, weights, atol=1e-3)
    assert len(set(heat.x)) == 4 and "<script" not in str(heat.x)
    drawn = static.draw(figure)
    assert "lake" in drawn and "<script" not in drawn


def test_every_case_is_a_point_and_rare_labels_share_grey():
    rng, n = np.random.default_rng(1), 120
    labels = [f"label {i % 20}" if i < 100 else "label 0" for i in range(n)]
    points = {"before": rng.normal(size=(n, 2)), "after": rng.normal(size=(n, 2))}
    figure = explained.projections(points, labels, [f"{NASTY} {i}" for i in range(n)])
    for axis, where in (("x", points["before"]), ("x2", points["after"])):
        own = [trace for trace in figure.data if trace.xaxis == axis]
        assert len(own) == explained.LABELS + 1 and own[-1].name == explained.REST
        assert sorted(x for trace in own for x in trace.x) == sorted(where[:, 0].round(4).tolist())
        first = next(trace for trace in own if trace.name == "label 0")
        np.testing.assert_allclose(first.y, where[[i for i in range(n) if labels[i] == "label 0"], 1], atol=1e-4)
    looks = {(trace.marker.color, trace.marker.symbol) for trace in figure.data}
    assert len(looks) == explained.LABELS + 1  # each label is told apart without its name
    assert "<script" not in str(figure.data[0].text) and "<svg" in static.draw(figure)
