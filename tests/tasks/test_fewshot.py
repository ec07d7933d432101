"""The pair matcher: pairs by hand, scores against loops, learning, other episodes than it was trained on, and links."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kadapter import KnowledgeModel, Settings, catalog, fit, predict
from kadapter.data.episodes import episodes
from kadapter.errors import KAdapterError
from kadapter.graphs.embeddings import EntityEmbeddings
from kadapter.graphs.linking import linked
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.model.mapping import EntityMapping, MappingNetwork
from kadapter.scoring import statistics
from kadapter.scoring.metrics import EpisodicAccuracy
from kadapter.tasks.fewshot import mean_of_ways
from kadapter.training.batches import Ragged, encode
from kadapter.training.few_shot import few_shot
from tests import tiny

TASK = catalog.task("fewshot", max_length=64)


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer("minilm")


@pytest.fixture(scope="module")
def backbone(tiny_folder):
    return Backbone(tiny_folder)


def relations(n=80):
    """Linked: the subject of a relation has an entity of its own, the object has none."""
    dataset = tiny.relations(n)
    return dataset.remove_columns("subj_id").add_column("subj_id", [f"Q{label}" for label in dataset["label"]])


def test_a_pair_by_hand(tokenizer):
    made = episodes(tiny.relations(), ways=2, shots=2, count=1, queries=1)
    columns = TASK.encode(tokenizer, made[:])
    assert columns["sequences"] == [4, 4] and columns["labels"] == [0, 1] and columns["episode"] == [0, 0]
    assert columns["way"] == [0, 0, 1, 1] * 2

    def marked(row):
        s, e, o, t = (row[name] for name in ("subj_start", "subj_end", "obj_start", "obj_end"))
        text = row["text"]
        return f"# {text[s:e]} # {text[e:o].strip()} $ {text[o:t]} $ {text[t:].strip()}"

    expected = [tokenizer(marked(row), marked(support)) for row in made for support in row["supports"]]
    assert columns["input_ids"] == [pair["input_ids"] for pair in expected]
    assert columns["segments"] == [pair["token_type_ids"] for pair in expected]


def test_sentences_are_no_episodes(tokenizer):
    with pytest.raises(KAdapterError, match="expected episodes, as kadapter.data.episodes draws them"):
        TASK.encode(tokenizer, tiny.relations()[:])


def test_long_texts_share_the_length_and_keep_their_mentions(tokenizer):
    rows = tiny.relations(12).to_list()
    for row in rows:
        row["text"] = row["text"] + " and so on" * 60
    made = episodes(type(tiny.relations()).from_list(rows), ways=2, count=1, queries=1)
    columns = TASK.encode(tokenizer, made[:])
    marks = tokenizer.convert_tokens_to_ids(["#", "$"])
    assert {len(ids) for ids in columns["input_ids"]} == {63}  # an odd token is left over
    assert all(ids.count(mark) == 4 for ids in columns["input_ids"] for mark in marks)


@given(data=st.data())
def test_mean_of_ways(data):
    sizes = data.draw(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3)), min_size=1, max_size=4))
    group = [q for q, (ways, shots) in enumerate(sizes) for _ in range(ways * shots)]
    way = [w for ways, shots in sizes for w in range(ways) for _ in range(shots)]
    scores = torch.randn(len(group), generator=torch.Generator().manual_seed(data.draw(st.integers(0, 9))))
    found = mean_of_ways(scores, torch.tensor(group), torch.tensor(way))
    for q, (ways, _) in enumerate(sizes):
        for w in range(found.shape[1]):
            mine = [float(s) for s, g, v in zip(scores, group, way, strict=True) if (g, v) == (q, w)]
            assert float(found[q, w]) == pytest.approx(np.mean(mine), abs=1e-6) if w < ways else found[q, w] == -np.inf


def test_intervals_are_over_episodes():
    predictions = np.array([0, 0, 1, 1, 0, 1])
    references = np.array([[0, 3], [0, 3], [1, 3], [0, 5], [1, 5], [1, 5]])
    metric = EpisodicAccuracy()
    counts = metric.per_example(predictions, references)
    assert counts.tolist() == [[3, 3], [1, 3]]
    assert metric(predictions, references) == {"accuracy": pytest.approx(4 / 6)}
    found = statistics.interval(counts[None], metric)
    assert found["n"] == 2  # resamples of two episodes: both the first, both the second, or one of each
    assert (found["ci_low"], found["ci_high"]) == pytest.approx((1 / 3, 1), abs=0.02)


def test_segments_reach_the_backbone(tokenizer, backbone):
    """Stored states are those of the pair, and a model that gets no segments computes others."""
    encoded = encode(TASK, tokenizer, episodes(tiny.relations(), ways=2, count=1, queries=1), progress=False)
    batch = encoded.__getitems__([0, 1])
    names = {"input_ids": "input_ids", "attention_mask": "attention_mask", "token_type_ids": "segments"}
    model = KnowledgeModel(backbone, task=TASK)
    with torch.no_grad():
        expected = backbone.model(**{theirs: batch[ours] for theirs, ours in names.items()}).last_hidden_state
        found = model(**batch).last_hidden_state
        without = model(**{k: v for k, v in batch.items() if k != "segments"}).last_hidden_state
    real = batch["attention_mask"].bool()
    torch.testing.assert_close(found[real], expected[real])
    assert not torch.allclose(without[real], expected[real])


@pytest.mark.parametrize("store", [True, False])
def test_it_learns_and_answers_other_episodes(store, tokenizer, tiny_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("KADAPTER_CACHE", str(tmp_path / "cache"))
    model = KnowledgeModel(Backbone(tiny_folder), task=TASK)
    train = encode(TASK, tokenizer, episodes(tiny.relations(80), ways=3, count=12, queries=2), progress=False)
    regime = "frozen" if store else "full"
    settings = Settings(
        regime=regime, epochs=20 if store else 4, batch_size=12, learning_rate=3e-3, bf16=False, store=store
    )
    before = predict(model, train).loss
    fit(model, train, None, settings, tmp_path / "out", progress=False)
    assert predict(model, train).loss < before
    asked = encode(TASK, tokenizer, episodes(tiny.relations(80), ways=4, shots=3, count=3, seed=50), progress=False)
    found = predict(model, asked)
    assert len(found.decided) == 60 and all(len(scores) == 4 for scores in found.outputs)
    assert found.counts.shape == (3, 2) and found.counts[:, 1].tolist() == [20, 20, 20]
    table = few_shot(model, tokenizer, tiny.relations(80), ((4, 3), (2, 1)), asked=60, seed=50, progress=False)
    assert table["accuracy"][0] == pytest.approx(100 * found.scores["accuracy"])
    assert table[["episodes", "queries"]].to_numpy().tolist() == [[3, 60], [6, 60]]
    assert (table["low"] <= table["accuracy"]).all() and (table["accuracy"] <= table["high"]).all()


def test_links_in_query_and_support(tokenizer, backbone):
    embeddings = EntityEmbeddings.from_arrays(["Qlikes", "Qhates", "Qknows", "Qleads"], np.eye(4))
    mapping = EntityMapping("graph", MappingNetwork(4, backbone.hidden_size), embeddings)
    made = episodes(linked(relations(), embeddings).dataset, ways=2, shots=2, count=1, queries=1)
    plain, encoded = (encode(TASK, tokenizer, made, progress=False, mapping=m) for m in (None, mapping))
    rows = encoded.columns["link_rows"]
    assert isinstance(rows, Ragged)
    verbs = [word for word in ("likes", "hates", "knows", "leads")]
    for number, found in enumerate(rows.rows()):
        query, support = made[number // 4], made[number // 4]["supports"][number % 4]
        expected = [
            next(i for i, verb in enumerate(verbs) if verb in text) for text in (query["text"], support["text"])
        ]
        assert found[found >= 0].tolist() == expected
        where = np.flatnonzero(found >= 0)
        ids = encoded.tokens.rows()[number]
        assert tokenizer.convert_ids_to_tokens(ids[where - 1]) == ["#", "#"]
        assert tokenizer.convert_ids_to_tokens(ids[where + 1]) == ["/", "/"]
        kept = np.setdiff1d(np.arange(len(ids)), np.concatenate([where, where + 1]))
        assert ids[kept].tolist() == plain.tokens.rows()[number].tolist()
        assert encoded.columns["segments"].rows()[number][where].tolist() == [0, 1]
    model = KnowledgeModel(backbone, task=TASK, mapping=mapping)
    first = predict(model, encoded)
    model.unplug_mapping()
    model.plug_mapping(EntityMapping("graph", mapping.network, embeddings.shuffled(3)))
    with pytest.raises(ValueError, match="were encoded for entity embeddings"):
        predict(model, encoded)
    assert np.isfinite(np.concatenate(first.outputs)).all()
