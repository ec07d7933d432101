"""Mapped vectors in a model's input: the same as a plain written-out reference, whatever the backbone and the task."""

import re

import numpy as np
import pytest
import torch
from datasets import Dataset, Features
from transformers import AutoModel

from kadapter import catalog
from kadapter.errors import KAdapterError
from kadapter.formats.schemas import CHOICE, CLOZE, LINKS, OPENQA
from kadapter.model.adapter import build_adapter
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.model.mapping import EntityMapping, MappingNetwork, build_mapping, nearest_tokens
from kadapter.training import features
from kadapter.training.batches import encode
from kadapter.training.fit import Settings, fit
from kadapter.training.predict import predict
from tests import linked, speaking, tiny, zoo

LABELS = ["hates", "knows", "leads", "likes"]


def relation_task():
    return catalog.task("relation", labels=LABELS, max_length=48)


@pytest.fixture(scope="module")
def tokenizer(tiny_folder):
    return load_tokenizer(tiny_folder)


@pytest.fixture
def model(tiny_folder):
    backbone = Backbone(tiny_folder)
    mapping = build_mapping("kg", linked.embeddings(), backbone)
    return KnowledgeModel(backbone, adapters={"F": build_adapter(tiny.sizes())}, task=relation_task(), mapping=mapping)


def test_parameters_of_the_official_networks():
    for width, count in ((128, 99_072), (228, 175_872)):
        assert sum(p.numel() for p in MappingNetwork(width, 768).parameters()) == count
    two = MappingNetwork(128, 768, hidden=64)
    assert sum(p.numel() for p in two.parameters()) == 129 * 64 + 65 * 768
    assert two(torch.zeros(3, 128)).shape == (3, 768)


def test_injection_is_the_written_out_one(tiny_folder, tokenizer, model):
    """Ids, positions, mask, labels and states of a sentence with markers, by hand."""
    dataset = linked.relations(2)
    encoded = encode(model.task, tokenizer, dataset, mapping=model.mapping)
    batch = encoded.__getitems__([1])  # Person1 hates Thing1 very much .  (Q1 Q1)
    words = "[CLS] @ e / person ##1 @ hates # e / thing ##1 # very much . [SEP]".split()
    ids = [tokenizer.unk_token_id if w == "e" else tokenizer.convert_tokens_to_ids(w) for w in words]
    assert batch["input_ids"].tolist() == [ids]
    assert batch["link_rows"].tolist() == [[1 if w == "e" else -1 for w in words]]
    assert batch["attention_mask"].tolist() == [[1] * len(words)]
    assert batch["spans"].tolist() == [[[1, 2], [8, 9]]] and batch["labels"].tolist() == [LABELS.index("hates")]

    plain = AutoModel.from_pretrained(tiny_folder, add_pooling_layer=False).eval()
    table = plain.get_input_embeddings().weight
    vector = model.mapping.network.layers[0](torch.from_numpy(np.array(model.mapping.embeddings.matrix[1])))
    rows = torch.stack([vector if w == "e" else table[i] for w, i in zip(words, ids, strict=True)])
    expected = plain(
        inputs_embeds=rows[None],
        attention_mask=torch.ones(1, len(words), dtype=torch.long),
        position_ids=torch.arange(len(words))[None],
    ).last_hidden_state
    found = model.read(batch["input_ids"], batch["attention_mask"], link_rows=batch["link_rows"])[-1]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_gradients_reach_the_mapping_alone(tiny_folder, tokenizer, model):
    model.train_only("mapping").train()
    assert not model.backbone.training and not model.head.training
    encoded = encode(model.task, tokenizer, linked.relations(), mapping=model.mapping)
    model(**encoded.__getitems__(range(6))).loss.backward()
    reached = {n for n, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert reached == {n for n, _ in model.named_parameters() if n.startswith("mapping.")} != set()


def test_map_tuning_leaves_everything_else_as_it_was(tokenizer, model, tmp_path):
    before = {n: p.clone() for n, p in model.state_dict().items()}
    encoded = encode(model.task, tokenizer, linked.relations(), mapping=model.mapping)
    settings = Settings(regime="mapping", epochs=2, batch_size=4, learning_rate=1e-2, backbone_dropout=0.25)
    fit(model, encoded, encoded, settings, tmp_path, progress=False)
    changed = {n for n, p in model.state_dict().items() if not torch.equal(p, before[n])}
    assert changed == {n for n in before if n.startswith("mapping.")}
    dropouts = [m.p for m in model.backbone.modules() if isinstance(m, torch.nn.Dropout)]
    assert set(dropouts) == {0.1} and not model.backbone.training  # as it was loaded


def test_a_raised_dropout_drops(tokenizer, model):
    encoded = encode(model.task, tokenizer, linked.relations(), mapping=model.mapping)
    batch = encoded.__getitems__(range(4))
    model.train_only("mapping").train()
    model.drops_frozen = True
    with model.backbone.dropping(0.4):
        model.train()
        rates = {m.p for m in model.backbone.modules() if isinstance(m, torch.nn.Dropout)}
        first, second = (model(**batch).logits for _ in range(2))
    assert rates == {0.4} and not torch.equal(first, second)


def test_a_text_without_links_is_read_as_ever(tokenizer, model):
    dataset = linked.relations(4)
    nobody = [[{**link, "entity": "nobody"} for link in links] for links in dataset["links"]]
    strangers = dataset.remove_columns("links").add_column("links", nobody, feature=LINKS)
    with_mapping = encode(model.task, tokenizer, strangers, mapping=model.mapping)
    without = encode(model.task, tokenizer, strangers)
    batch = with_mapping.__getitems__(range(4))
    assert (batch.pop("link_rows") == -1).all()
    assert all(torch.equal(batch[n], column) for n, column in without.__getitems__(range(4)).items())
    a, b = (predict(model, e).outputs for e in (with_mapping, without))
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_an_unlinked_mention_may_be_given_the_bias(tokenizer, model):
    model.mapping.unlinked = "bias"
    dataset = linked.relations(6)  # the last is linked to Q5, which has no vector
    batch = encode(model.task, tokenizer, dataset, mapping=model.mapping).__getitems__([5])
    assert batch["link_rows"][0].tolist().count(-2) == 1
    mapped = model.mapping(torch.tensor([-2, 1]))
    assert torch.equal(mapped[0], model.mapping.network.layers[0].bias)


def test_the_mapped_vectors_decide(tokenizer, model):
    """Other vectors, other logits; adapters plugged at the same time are left plugged."""
    encoded = encode(model.task, tokenizer, linked.relations(), mapping=model.mapping)
    before = np.stack(predict(model, encoded).outputs)
    mapping = model.unplug_mapping("kg")
    with pytest.raises(KAdapterError, match="encoded for entity embeddings .* no mapping is plugged"):
        predict(model, encoded)
    with pytest.raises(KAdapterError, match="places for mapped vectors, and no mapping"):
        model(**encoded.__getitems__([0]))
    other = EntityMapping("kg", mapping.network, linked.embeddings(seed=1))
    model.plug_mapping(other)
    with pytest.raises(KAdapterError, match="a mapping is plugged"):
        model.plug_mapping(mapping)
    again = encode(model.task, tokenizer, linked.relations(), mapping=other)
    assert not np.allclose(before, np.stack(predict(model, again).outputs), atol=1e-4)
    assert list(model.adapters) == ["F"] and "mapping kg" in repr(model)


TEXTS = {
    "typing": (lambda: linked.typings(8), {"labels": ["artist", "person", "place"]}, {}),
    "dependency": (
        lambda: tiny.trees(6).add_column("links", [[{"start": 4, "end": 7, "entity": "Q1"}]] * 6, feature=LINKS),
        {},
        {},
    ),
    "choice": (
        lambda: Dataset.from_list(
            [
                {
                    "id": "0",
                    "context": "Ada saw Bob .",
                    "question": "Who ?",
                    "answers": ["Ada", "Bob"],
                    "label": 0,
                    "links": [{"start": 8, "end": 11, "entity": "Q2"}],
                }
            ]
            * 3,
            features=Features(CHOICE | {"links": LINKS}),
        ),
        {},
        {},
    ),
    "span": (
        lambda: Dataset.from_list(
            [
                {
                    "id": "0",
                    "question": "Who saw Bob ?",
                    "answers": ["Ada"],
                    "paragraphs": ["Ada saw Bob .", "Ada ."],
                    "links": [{"start": 8, "end": 11, "entity": "Q2"}],
                }
            ]
            * 3,
            features=Features(OPENQA | {"links": LINKS}),
        ),
        {},
        {},
    ),
}


@pytest.mark.parametrize("name", TEXTS)
def test_every_task_reads_links(tiny_folder, tokenizer, name, tmp_path):
    make, options, _ = TEXTS[name]
    backbone = Backbone(tiny_folder)
    mapping = build_mapping("kg", linked.embeddings(), backbone)
    task = catalog.task(name, **options, max_length=32)
    model = KnowledgeModel(backbone, task=task, mapping=mapping)
    encoded = encode(task, tokenizer, make(), mapping=mapping)
    batch = encoded.__getitems__(range(3))
    places = batch["link_rows"] >= 0
    assert places.any()
    slash = tokenizer.convert_tokens_to_ids("/")
    assert (batch["input_ids"][:, 1:][places[:, :-1]] == slash).all()
    before = backbone.fingerprint
    settings = Settings(regime="mapping", epochs=1, batch_size=2, learning_rate=1e-2)
    weights = mapping.network.layers[0].weight.clone()
    fit(model, encoded, None, settings, tmp_path, progress=False)
    assert backbone.fingerprint == before and not torch.equal(weights, mapping.network.layers[0].weight)


@pytest.mark.parametrize("family", [*speaking.MASKED, *speaking.CAUSAL])
def test_every_backbone_and_tokenizer(family, tmp_path):
    """A cloze text of which two mentions are linked: e, the pieces of `/`, the mention's pieces; the language head is
    the backbone's own, and gradients reach the mapping alone."""
    folder = speaking.make(family, tmp_path / family)
    tokenizer = load_tokenizer(folder)
    backbone = Backbone(folder)
    reading = "causal" if family in speaking.CAUSAL else "masked"
    text = "They saw Arbon and Brill near the old [MASK] ."
    links = [
        {"start": text.index(n), "end": text.index(n) + 5, "entity": e} for n, e in (("Arbon", "Q3"), ("Brill", "Q4"))
    ]
    row = {"id": "0", "relation": "", "text": text, "answer": "river", "candidates": [], "links": links}
    dataset = Dataset.from_list([row], features=Features(CLOZE | {"links": LINKS}))
    task = catalog.task("cloze", reading=reading, max_length=60)
    mapping = build_mapping("kg", linked.embeddings(), backbone)
    model = KnowledgeModel(backbone, "residual", task=task, mapping=mapping).train_only("mapping").train()
    encoded = encode(task, tokenizer, dataset, mapping=mapping)
    batch = encoded.__getitems__([0])
    rows = batch["link_rows"][0].tolist()
    assert [r for r in rows if r >= 0] == [3, 4]
    plain = encode(task, tokenizer, dataset).__getitems__([0])["input_ids"][0].tolist()
    kept = tokenizer.decode([i for i, r in zip(batch["input_ids"][0].tolist(), rows, strict=True) if r < 0])
    # a tiny vocabulary lacks "/", which is then unknown
    found, expected = (re.sub(r"\[UNK\]|<unk>|[/ ]", "", text) for text in (kept, tokenizer.decode(plain)))
    assert found == expected
    model(**batch).loss.backward()
    reached = {n for n, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert reached == {n for n, _ in model.named_parameters() if n.startswith("mapping.")}


def test_stored_states_follow_the_mapping(tokenizer, model, tmp_path):
    """Another mapping, another store; its states are the computed ones."""
    encoded = encode(model.task, tokenizer, linked.relations(), mapping=model.mapping)
    model.eval()

    def stored():
        return features.open_store(model, encoded, "features", torch.float32, tmp_path, progress=False)

    first = stored()
    batch = encoded.__getitems__([1, 4])
    states = model.read(batch["input_ids"], batch["attention_mask"], link_rows=batch["link_rows"])
    real = batch["attention_mask"].bool()
    found = first(np.array([1, 4]))["features"]
    expected = model.represent(states, batch["attention_mask"])
    torch.testing.assert_close(found[:, real], expected[:, real], rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        model.mapping.network.layers[0].weight.mul_(2)
    assert stored().folder != first.folder
    plain = encode(model.task, tokenizer, linked.relations())
    assert features.open_store(model, plain, "features", torch.float32, tmp_path, progress=False).folder != first.folder


def test_mistakes_are_one_sentence(tokenizer, model, tiny_folder, tmp_path):
    mapping = model.mapping
    with pytest.raises(KAdapterError, match="unlinked: found 'zero'"):
        EntityMapping("kg", mapping.network, mapping.embeddings, unlinked="zero")
    with pytest.raises(KAdapterError, match="reads entity embeddings of width 6, but these have 3"):
        EntityMapping("kg", mapping.network, linked.embeddings(width=3))
    model.unplug_mapping()
    with pytest.raises(KAdapterError, match="unknown plugged mapping 'kg'"):
        model.unplug_mapping("kg")
    wide = EntityMapping("wide", MappingNetwork(linked.WIDTH, 7), linked.embeddings())
    with pytest.raises(KAdapterError, match="vectors of width 7, but the input embeddings of .* have 32"):
        model.plug_mapping(wide)
    with pytest.raises(KAdapterError, match="expected a column 'links'"):
        encode(model.task, tokenizer, tiny.relations(4), mapping=mapping)
    encoded = encode(model.task, tokenizer, tiny.relations(4))
    model.plug_mapping(mapping)
    with pytest.raises(KAdapterError, match="have no places for them"):
        fit(model, encoded, None, Settings(regime="mapping"), tmp_path, progress=False)
    model.unplug_mapping()
    with pytest.raises(KAdapterError, match="regime 'mapping' trains a mapping, and none is plugged"):
        fit(model, encoded, None, Settings(regime="mapping"), tmp_path, progress=False)


def test_nearest_tokens(model):
    """A network whose weights copy an input embedding maps onto that token."""
    table = model.backbone.model.get_input_embeddings().weight
    with torch.no_grad():
        model.mapping.network.layers[0].weight.zero_()
        model.mapping.network.layers[0].bias.copy_(table[2000])
    ids, cosines = nearest_tokens(model.mapping, model.backbone, [0, 3], k=4)
    assert ids.shape == cosines.shape == (2, 4) and ids[:, 0].tolist() == [2000, 2000]
    assert cosines[:, 0] == pytest.approx(1.0, abs=1e-5) and (np.diff(cosines) <= 0).all()


def test_narrow_input_embeddings(tmp_path):
    """ALBERT's are 16 wide, its states 32: the mapping gives 16."""
    backbone = Backbone(zoo.make("albert", tmp_path / "albert"))
    assert (backbone.embedding_size, backbone.hidden_size) == (16, 32)
    assert build_mapping("kg", linked.embeddings(), backbone).network.hidden_size == 16
