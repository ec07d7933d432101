"""Pictures: drawings place what they draw where its value is, and what is drawn is computed right."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix

from kadapter import catalog
from kadapter.cases.cases import Cases
from kadapter.drawing import static
from kadapter.report import pictures

SVG = "{http://www.w3.org/2000/svg}"


def texts(drawing):
    return {e.text: (float(e.get("x")), float(e.get("y"))) for e in ET.fromstring(drawing).iter(f"{SVG}text")}


def marks(drawing):
    """Where the markers stand, in pixels."""
    found = ET.fromstring(drawing).iter(f"{SVG}path")
    return [tuple(map(float, re.findall(r"-?[\d.]+", m.get("transform")))) for m in found if m.get("class") == "mark"]


def cases_of(true, logits):
    labels = ["a", "b", "c"]
    frame = pd.DataFrame(
        {"example_id": "", "text": "t", "mentions": [[]] * len(true), "true": [[labels[t]] for t in true]}
    )
    task = catalog.task("relation", labels=labels)
    return Cases(task, ["backbone", "F"], frame, np.stack(logits).astype(np.float32))


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
