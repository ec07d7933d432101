"""Infuse from an empty box to an answer: what it says at once, what it leaves, what it refuses; nothing is run that a
person pastes."""

import pytest
import traitlets

from kadapter.errors import KAdapterError
from kadapter.experiment import infusion_facts
from kadapter.probing.completions import complete
from kadapter.training.language import language_model
from tests import speaking
from widgets import Infuse

FACTS = "person1, pet, dog\nperson2, home, river\n<b>nothing</b>"
SMALL = {"KEPT": 6, "PROBES": 4, "DOCUMENTS": 2, "ENTITIES": 2, "STEPS": 30}


@pytest.fixture(scope="module", autouse=True)
def small():
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SMALL.items():
            patch.setattr(infusion_facts, name, value)
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("widget")
    speaking.make("llama", folder / "llama")
    return folder


def box(place, facts: str = "") -> Infuse:
    return Infuse(facts, str(place / "llama"), minutes=5, folder=place / "own")


@pytest.fixture(scope="module")
def pressed(place):
    widget = box(place)
    assert widget._button.disabled and "empty" in widget.picture() and "nothing yet" in widget.summary()
    widget.facts = FACTS
    assert not widget._button.disabled
    widget._button.click()
    assert widget._button.disabled  # while it runs
    widget.run()
    return widget


def test_what_was_pasted_is_said_at_once(place):
    widget = box(place)
    widget.facts = FACTS
    assert "2 facts (triples)" in widget.picture() and "line 3" in widget.picture()
    widget.facts = "nothing of the kind"
    assert widget._button.disabled and "usable lines" in widget.picture()
    widget.facts = ""
    assert widget._button.disabled and "usable lines" not in widget.picture()


def test_the_adapter_answers_beside_the_plain_model(pressed, place):
    found = pressed.found
    assert (found.folder / "page.html").is_file() and found.summary["items"] == 2
    shown = pressed.picture()
    for text in ("as they were never read", "perplexity of other text", str(found.folder), "person1"):
        assert text in shown
    assert "<b>nothing</b>" not in shown
    names = list(pressed.asked.models)
    assert names == [str(place / "llama"), f"{place / 'llama'} + yours"]
    text = found.details["examples"][0]["text"]
    model = language_model(pressed._backbone, {"yours": found.folder})
    tokenizer = pressed.asked._tokenizer(names[1])
    answer = found.details["examples"][0]["true"]
    assert pressed.asked._found[names[1]] == complete(model, tokenizer, text, answer=answer)
    assert f"{found.summary['paraphrase_after']:.0%} after" in pressed.summary()


def test_the_same_facts_are_not_trained_again(pressed, place, monkeypatch):
    monkeypatch.setattr(infusion_facts.FactsInfusion, "train", None)
    again = box(place, FACTS)
    assert again.run().summary == pressed.found.summary


def test_what_goes_wrong_is_one_sentence(place):
    widget = Infuse(FACTS, "nowhere/such", folder=place / "wrong")
    with pytest.raises(KAdapterError, match="nowhere/such"):
        widget.run()
    assert "nowhere/such" in widget.picture() and not widget._button.disabled
    silent = Infuse(FACTS, "minilm", folder=place / "wrong")
    with pytest.raises(KAdapterError, match="no language head of its own"):
        silent.run()


def test_a_run_can_be_stopped(place):
    widget = box(place, FACTS + "\nperson3, pet, fox")
    widget.start()
    widget.work.cancel()
    assert "go on where they were" in widget.picture() and not widget._button.disabled
    assert issubclass(Infuse, traitlets.HasTraits)
