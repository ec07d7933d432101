"""Cloze says what the models say, with and without their adapters; nothing that a person types is run."""

import pytest
import torch
import traitlets

from kadapter.errors import KAdapterError
from kadapter.model.adapter import AdapterConfig, build_adapter
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.probing.completions import complete
from kadapter.training.language import language_model
from tests import speaking
from widgets import Cloze

TEXT = "Person knows [MASK]"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    found = {}
    for name in ("bert", "llama"):
        backbone = Backbone(speaking.make(name, tmp_path_factory.mktemp(name)))
        sizes = {"plug_layers": (0, 2), "width": 8, "layers": 1, "heads": 1, "inner": 8}
        adapter = build_adapter(AdapterConfig.for_backbone(backbone, **sizes))
        found[name] = language_model(backbone, {"F": adapter})
        with torch.no_grad():  # as if it had been trained
            for p in found[name].fusion.parameters():
                p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(0)))
    return found


@pytest.fixture
def cloze(models):
    widget = Cloze(models, TEXT, "dog", words=["dog", "river", "names"], top=3)
    widget.work.wait()
    yield widget
    for name, model in models.items():
        widget._plugs[name].assign(["F"])
        assert "F" in model.adapters
    widget.work.wait()


def said(model):
    return complete(model, load_tokenizer(model.backbone.name), TEXT, answer="dog", k=3)


def test_each_model_is_shown_with_its_words(cloze, models):
    for name, model in models.items():
        found = said(model)
        assert cloze._found[name] == found
        for word, p in zip(found.words, found.probabilities, strict=True):
            assert f"<td>{word}</td><td>{100 * p:.1f}%</td>" in cloze.picture().replace("&lt;", "<").replace(
                "&gt;", ">"
            )
        assert f"{name}: {found.words[0]}" in cloze.summary()


def test_unplugging_is_seen_and_named(cloze, models):
    before = cloze._found["llama"]
    cloze._plugs["llama"].set("F", False)
    cloze.work.wait()
    assert "llama, F unplugged" in cloze.picture() and cloze._found["llama"] == said(models["llama"]) != before
    assert {box.description: box.icon for box in cloze._switches.children}["F in llama"] == "times"
    cloze._plugs["llama"].set("F", True)
    cloze.work.wait()
    assert cloze._found["llama"] == before and "unplugged" not in cloze.picture()


def test_the_list_can_be_the_candidates(cloze):
    cloze.listed = True
    cloze.work.wait()
    assert all(set(found.words) <= {"dog", "river", "names"} for found in cloze._found.values())


def test_a_wrong_text_is_one_sentence_and_mends(cloze):
    cloze.text = "<b>a</b> [MASK] [MASK]"
    cloze.work.wait()
    shown = cloze.picture()
    assert "expected one" in shown and "<b>a</b>" not in shown and not cloze._found
    cloze.text = TEXT
    cloze.work.wait()
    assert "Error" not in cloze.picture() and cloze._found
    cloze.text = ""
    assert not cloze._found and "Error" not in cloze.picture()


def test_models_that_do_not_speak_are_refused(tiny_folder):
    with pytest.raises(KAdapterError, match="does not speak"):
        Cloze({"m": KnowledgeModel(Backbone(str(tiny_folder)))})
    with pytest.raises(KAdapterError, match="at least one model"):
        Cloze({})
    assert issubclass(Cloze, traitlets.HasTraits)
