"""Mappings in the widgets: switches, linked mentions, another entity's vector, and the logits that follow."""

import numpy as np
import pytest
import torch

from kadapter import catalog
from kadapter.cases.cases import Cases
from kadapter.cases.inference import logits, write_marked
from kadapter.errors import KAdapterError
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.model.mapping import build_mapping, nearest_tokens
from kadapter.probing.completions import complete
from kadapter.training.batches import encode
from kadapter.training.language import answer_log_likelihoods, language_model, token_log_probabilities
from kadapter.training.predict import predict
from tests import linked, speaking
from widgets import CaseStudy, Cloze
from widgets.adapter_switch import Plugs

LABELS = ["hates", "knows", "leads", "likes"]
TEXT = "Person knows [MASK]"
SURFACES = {"Person": ["Q1"], "River": ["Q2"], "Both": ["Q3", "Q4"]}


def loud(name, backbone, seed=0):
    """A mapping whose vectors a random backbone cannot overlook."""
    mapping = build_mapping(name, linked.embeddings(), backbone, seed=seed)
    with torch.no_grad():
        for p in mapping.parameters():
            p.mul_(20)
    return mapping.requires_grad_(False).eval()


@pytest.fixture(scope="module", params=["bert", "llama"])
def model(request, tmp_path_factory):
    return language_model(Backbone(speaking.make(request.param, tmp_path_factory.mktemp(request.param))))


@pytest.fixture
def cloze(model):
    widget = Cloze({"m": model}, TEXT, "dog", mappings={"graph": loud("x", model.backbone)}, surfaces=SURFACES)
    widget.work.wait()
    yield widget
    widget.work.wait()
    if model.mapping is not None:
        model.unplug_mapping()
        Plugs.of(model).refresh()


def test_a_switch_plugs_the_mapping_and_what_is_said_follows(cloze, model):
    tokenizer = load_tokenizer(model.backbone.name)
    plain = cloze._found["m"]
    assert plain == complete(model, tokenizer, TEXT, answer="dog") and "nearest" not in cloze.picture()
    button = cloze.linked.toggles["m", "graph"]
    button.value = True
    cloze.work.wait()
    assert model.mapping.name == "graph" and button.icon == "check"
    links = [{"start": 0, "end": 6, "entity": "Q1"}]
    assert cloze._found["m"] == complete(model, tokenizer, TEXT, answer="dog", links=links) != plain
    tokens = nearest_tokens(model.mapping, model.backbone, [1], 1)[0][0]
    assert tokenizer.convert_ids_to_tokens(tokens.tolist())[0] in cloze.picture() and "m, graph plugged" in str(cloze)
    button.value = False
    cloze.work.wait()
    assert model.mapping is None and cloze._found["m"] == plain


def test_another_entity_stands_in_its_place(cloze, model):
    cloze.linked.toggles["m", "graph"].value = True
    cloze.work.wait()
    before, field = cloze._found["m"], cloze.linked.fields["Person"]
    assert field.value == "Person"
    field.value = "River"
    cloze.work.wait()
    links = [{"start": 0, "end": 6, "entity": "Q2"}]
    tokenizer = load_tokenizer(model.backbone.name)
    assert cloze._found["m"] == complete(model, tokenizer, TEXT, answer="dog", links=links) != before
    assert "<td>Person</td><td>River</td>" in cloze.picture()
    for name, said in (("Rivr", "did you mean"), ("Both", "names 2 entities")):
        field.value = name
        assert said in cloze.linked._message.value
    field.value = ""
    cloze.work.wait()
    assert cloze._found["m"] == before and not cloze.linked._message.value


def test_asked_words_with_links_are_those_of_the_encoded_task(model):
    """Against `encode` with the mapping and a plain forward pass."""
    tokenizer, mapping = load_tokenizer(model.backbone.name), loud("graph", model.backbone)
    links = [[{"start": 0, "end": 6, "entity": "Q1"}]]
    plain = token_log_probabilities(model, tokenizer, [TEXT])
    model.plug_mapping(mapping)
    try:
        found = token_log_probabilities(model, tokenizer, [TEXT], links=links)
        assert np.array_equal(plain, token_log_probabilities(model, tokenizer, [TEXT]))  # nothing linked: as ever
        many = answer_log_likelihoods(model, tokenizer, [TEXT], [["dog", "river"]], links=links)[0]
        masked = model.task.reading == "masked"
        text = f" / Person knows{f' {tokenizer.mask_token}' if masked else ''}"
        ids = tokenizer(text)["input_ids"]
        place = ids.index(tokenizer(text, add_special_tokens=False)["input_ids"][0])
        ids = [*ids[:place], 0, *ids[place:]]
        embeds = model.backbone.input_embeddings(torch.tensor([ids])).clone()
        embeds[0, place] = mapping(torch.tensor([1]))[0]
        states = model.backbone.hidden_states(None, torch.ones(1, len(ids)).long(), embeds, [model.backbone.depth])
        at = ids.index(tokenizer.mask_token_id) if masked else len(ids) - 1
        wanted = model.head.language(states[0, 0, at][None])[0].log_softmax(-1).detach().numpy()
    finally:
        model.unplug_mapping()
    assert not np.allclose(found, plain, atol=1e-3) and np.allclose(found[0], wanted, atol=1e-4)
    assert many[0] != many[1]


@pytest.fixture(scope="module")
def asked(tiny_folder):
    backbone = Backbone(tiny_folder)
    task = catalog.task("relation", labels=LABELS)
    return KnowledgeModel(backbone, task=task, seed=3).eval(), load_tokenizer(tiny_folder), linked.relations(8)


def test_the_case_study_follows_a_mapping_and_a_swap(asked):
    model, tokenizer, examples = asked
    mapping = loud("graph", model.backbone)
    plain = Cases.from_models({"m": (model, tokenizer)}, examples)
    study = CaseStudy({"m": model}, plain, mappings={"graph": mapping}, surfaces={"Ada": ["Q1"]})
    study.work.wait()
    first = study.cases[study.list.case]
    marked = write_marked(first.text, first.mentions)
    name = first.text[slice(*next(m[:2] for m in first.mentions if m[2] == "subject"))]
    study.linked.surfaces |= {name: ["Q1"], "River": ["Q2"]}
    study.live.reset.click()
    study.work.wait()
    study.linked.toggles["m", "graph"].value = True
    study.work.wait()
    start = first.text.index(name)
    link = {"start": start, "end": start + len(name), "entity": "Q1"}
    with_it = logits(model, tokenizer, [marked], [[link]])[0].numpy()
    assert np.allclose(study.shown.case.logits["m"], with_it) and "m, graph plugged" in study.picture()
    study.linked.fields[name].value = "River"
    study.work.wait()
    swapped = logits(model, tokenizer, [marked], [[link | {"entity": "Q2"}]])[0].numpy()
    assert np.allclose(study.shown.case.logits["m"], swapped) and not np.allclose(swapped, with_it)
    again = Cases.from_models({"m": (model, tokenizer)}, examples)
    encoded = encode(model.task, tokenizer, examples, progress=False, mapping=model.mapping)
    assert np.allclose(np.stack(again.frame["logits"]) if "logits" in again.frame else again[0].logits["m"],
                       predict(model, encoded).outputs[0])  # fmt: skip
    study.linked.toggles["m", "graph"].value = False
    study.work.wait()
    assert np.allclose(study.shown.case.logits["m"], logits(model, tokenizer, [marked])[0].numpy())


def test_mistakes_are_one_sentence(asked):
    model, _, _ = asked
    plugs = Plugs.of(model)
    with pytest.raises(KAdapterError, match="unknown mapping that this model had"):
        plugs.set_mapping("grph", True)
