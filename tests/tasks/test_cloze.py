"""Cloze: what is asked of a tiny model, by hand; facts go into an adapter, the backbone stays and goes on speaking."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from datasets import concatenate_datasets

from kadapter import catalog
from kadapter.errors import KAdapterError
from kadapter.formats.lama import MASK
from kadapter.knowledge.facts import Fact, in_words, plain, shuffled
from kadapter.model.adapter import AdapterConfig, build_adapter
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.training.batches import encode
from kadapter.training.features import FeatureStore
from kadapter.training.fit import Settings, attach_store, fit
from kadapter.training.language import answer_log_likelihoods, perplexity, token_log_probabilities
from kadapter.training.predict import predict
from kadapter.training.recall import recall
from tests import speaking

PEOPLE = ["Arbon", "Brill", "Coxon", "Person", "Dunes", "They"]
OBJECTS = ["dog", "river", "café", "names", "June", "there"]
FACTS = [Fact(s, "likes" if k % 2 else "hates", o) for k, (s, o) in enumerate(zip(PEOPLE, OBJECTS, strict=True))]
TEMPLATES = {"likes": ["[X] wrote down [Y] .", "@ [X] knows [Y] ."], "hates": ["[X] barked loudly at [Y] ."]}
TEXTS = ["They saw Arbon there and left before June .", "The naïve dog barked loudly at names .", "a river # June"]


@pytest.fixture(scope="module", params=["bert", "llama"])
def folder(request, tmp_path_factory):
    return speaking.make(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def reading(folder):
    return "masked" if load_tokenizer(folder).mask_token else "causal"


def model_with(folder, task, seed=0):
    backbone = Backbone(folder)
    config = AdapterConfig.for_backbone(backbone, width=32, heads=2, layers=1, init_std=0.05, dropout=0.0)
    return KnowledgeModel(backbone, "residual", {"F": build_adapter(config, seed)}, task, seed)


def test_ranks_and_likelihoods_are_those_of_the_model(folder, reading):
    """Against `token_log_probabilities`, which is tested against plain transformers; pieces one by one."""
    task, tokenizer = catalog.task("cloze", labels=["hates", "likes"], reading=reading), load_tokenizer(folder)
    model = model_with(folder, task).eval()
    data = in_words(FACTS, TEMPLATES)
    encoded = encode(task, tokenizer, data)
    found = predict(model, encoded)
    whole = answer_log_likelihoods(model, tokenizer, data["text"], [[a] for a in data["answer"]])
    np.testing.assert_allclose(found.decided[:, 1] / found.decided[:, 2], [float(w[0]) for w in whole], rtol=1e-4)
    single = [i for i, pieces in enumerate(found.decided[:, 2]) if pieces == 1]
    assert single, "no answer is one token"
    log = token_log_probabilities(model, tokenizer, [data["text"][i] for i in single])
    for row, i in zip(log, single, strict=True):
        labels = encoded.columns["labels"].rows()[i]
        assert found.decided[i, 0] == 1 + (row > row[labels[0]]).sum()
    assert found.references.tolist() == [["hates", "likes"].index(r) for r in data["relation"]]
    ranks = found.decided[:, 0]
    p1 = np.mean([np.mean(ranks[found.references == r] == 1) for r in (0, 1)])
    assert found.scores["p1"] == pytest.approx(p1) and 0 < found.scores["mrr"] < 1


def test_an_answer_of_several_pieces_has_its_worst_rank(folder, reading):
    task, tokenizer = catalog.task("cloze", reading=reading), load_tokenizer(folder)
    data = in_words([Fact("Arbon", "likes", "unheardof thing")], {"likes": ["[X] knows [Y] ."]})
    encoded = encode(task, tokenizer, data)
    model = model_with(folder, task).eval()
    batch = encoded.__getitems__([0])
    logits = model(**batch).logits.detach().log_softmax(-1)
    labels = batch["labels"][0]
    assert len(labels) > 2 and logits.shape[0] == len(labels)
    ranks = [1 + int((row > row[label]).sum()) for row, label in zip(logits, labels, strict=True)]
    rank, likelihood, pieces = predict(model, encoded).decided[0]
    assert (rank, pieces) == (max(ranks), len(labels))
    assert likelihood == pytest.approx(float(logits.gather(1, labels[:, None]).sum()), rel=1e-4)


def test_given_candidates_are_ranked_among_themselves(folder, reading):
    task = catalog.task("cloze", reading=reading, candidates="given")
    tokenizer, model = load_tokenizer(folder), model_with(folder, task).eval()
    data = in_words(FACTS, TEMPLATES, choose=True)
    found = predict(model, encode(task, tokenizer, data), batch_tokens=60)
    expected = answer_log_likelihoods(model, tokenizer, data["text"], data["candidates"])
    for row, scores, own, answer in zip(found.decided, expected, data["candidates"], data["answer"], strict=True):
        right = scores[own.index(answer)]
        assert row[0] == 1 + (scores > right).sum() and row[1] == pytest.approx(right, rel=1e-4)
    assert data["candidates"][0] == ["June", "café", "dog"] or sorted(data["candidates"][0]) == data["candidates"][0]


def test_plain_text_is_predicted_or_kept(folder, reading):
    """The loss by hand: the answers' cross entropy, and `keep` times the divergence from the backbone alone."""
    tokenizer = load_tokenizer(folder)
    data = concatenate_datasets([in_words(FACTS, TEMPLATES), plain(TEXTS)])
    for keep in (0.0, 3.0):
        task = catalog.task("cloze", reading=reading, keep=keep)
        model = model_with(folder, task).eval()
        with torch.no_grad():
            model.fusion.parts[0].linear.weight.normal_(std=0.3)
        encoded = encode(task, tokenizer, data)
        batch = encoded.__getitems__(range(len(encoded)))
        result = model(**batch)
        asked = batch["asked"] >= 0
        labels = batch["labels"][asked]
        text = batch["plain"].bool()[:, None].expand_as(asked)[asked]
        with model.only():
            bare = model(**batch).logits.log_softmax(-1)
        log = result.logits.log_softmax(-1)
        if keep:
            divergence = F.kl_div(log[text], bare[text], log_target=True, reduction="sum") / text.sum()
            expected = F.nll_loss(log[~text], labels[~text]) + keep * divergence
        else:
            expected = F.nll_loss(log, labels)
        torch.testing.assert_close(result.loss, expected, rtol=1e-4, atol=1e-5)
    if reading == "causal":
        found = predict(model, encode(task, tokenizer, plain(TEXTS)))
        assert 1 / found.scores["text"] == pytest.approx(perplexity(model, tokenizer, TEXTS), rel=1e-4)


def test_facts_and_text_take_turns(folder, reading):
    task = catalog.task("cloze", reading=reading, keep=1.0)
    facts = in_words(FACTS, TEMPLATES)
    encoded = encode(task, load_tokenizer(folder), concatenate_datasets([facts, plain(TEXTS)]))
    order, seen = encoded.batches(4, seed=3), []
    for epoch in (0, 1):
        order.set_epoch(epoch)
        batches = list(order)
        assert len(batches) == len(order) == 2 * math.ceil(len(facts) / 4)
        assert sorted(i for b in batches[::2] for i in b) == list(range(len(facts)))
        assert all(1 <= len(b) <= 2 and min(b) >= len(facts) for b in batches[1::2])
        seen += [i for b in batches[1::2] for i in b]
        assert batches == list(order)
    assert set(seen) == {len(facts), len(facts) + 1, len(facts) + 2}


@pytest.mark.parametrize(("sampled", "store"), [(0, False), (20, True)])
def test_facts_go_into_the_adapter_and_the_backbone_stays(folder, reading, sampled, store, tmp_path):
    task, tokenizer = catalog.task("cloze", reading=reading, keep=1.0, sampled=sampled), load_tokenizer(folder)
    model = model_with(folder, task)
    facts, texts = in_words(FACTS, TEMPLATES), plain(TEXTS)
    encoded = encode(task, tokenizer, concatenate_datasets([facts, texts]))
    before, fingerprint = predict(model, encode(task, tokenizer, facts)), model.backbone.fingerprint
    settings = Settings(
        "adapter",
        epochs=40 if reading == "causal" else 200,  # a mask token says less of what is asked than the text before
        batch_size=4,
        learning_rate=3e-3,
        gradient_accumulation=2,
        select="last",
        store=store,
        bf16=False,
    )
    fit(model, encoded, None, settings, tmp_path, progress=False, cache=tmp_path)
    after = predict(model, encode(task, tokenizer, facts))
    assert before.scores["p1"] < 0.5 and after.scores["p1"] > 0.9
    assert model.backbone.fingerprint == fingerprint
    bare = KnowledgeModel(Backbone(folder), "residual", task=task).eval()
    spoken = [perplexity(m, tokenizer, TEXTS) for m in (bare, model)]
    assert spoken[1] < 2 * spoken[0]
    with model.only():
        assert perplexity(model, tokenizer, TEXTS) == spoken[0]


def test_recall_is_the_backbones_own(folder, reading, tmp_path):
    task = catalog.task("cloze", reading=reading, keep=1.0, sampled=5)
    model = model_with(folder, task)
    data = concatenate_datasets([in_words(FACTS, TEMPLATES), plain(TEXTS)])
    encoded = encode(task, load_tokenizer(folder), data)
    streamed = recall([model], encoded)
    stored = attach_store(model, encoded, Settings(store=True, bf16=False), False, tmp_path)
    assert isinstance(stored.states, FeatureStore)
    for name in ("known_ids", "known_total"):
        np.testing.assert_allclose(
            recall([model], stored).columns[name].values, streamed.columns[name].values, rtol=1e-5
        )
    with model.only(), torch.no_grad():
        batch = encoded.__getitems__([2])
        logits = model.eval()(**batch).logits
    rows = streamed.columns["known_ids"].rows()[2].reshape(len(logits), -1)
    np.testing.assert_array_equal(rows[0], logits[0].topk(rows.shape[1]).indices)
    np.testing.assert_allclose(streamed.columns["known_total"].rows()[2], logits.logsumexp(-1), rtol=1e-5)
    answers = {int(i) for row in encoded.columns["labels"].rows()[: len(data) - len(TEXTS)] for i in row}
    assert set(model.head.answers.tolist()) == answers


def test_shuffled_objects_stay_within_their_relation():
    other = shuffled(FACTS, seed=1)
    assert [(f.subject, f.relation) for f in other] == [(f.subject, f.relation) for f in FACTS]
    assert other != FACTS and shuffled(FACTS, seed=1) == other != shuffled(FACTS, seed=2)
    for relation in ("likes", "hates"):
        assert sorted(f.object for f in other if f.relation == relation) == sorted(
            f.object for f in FACTS if f.relation == relation
        )


def test_bad_examples_are_one_sentence(folder, reading):
    tokenizer = load_tokenizer(folder)

    def encoding(text, answer, known=(), **options):
        task = catalog.task("cloze", reading=reading, **options)
        row = {"id": ["7"], "relation": [""], "text": [text], "answer": [answer], "candidates": [list(known)]}
        return task.encode(tokenizer, row)

    with pytest.raises(KAdapterError, match=r"record 7: found 2 \[MASK\]; expected one"):
        encoding(f"{MASK} {MASK}", "dog")
    with pytest.raises(KAdapterError, match="record 7: the answer 'dog' is not among its 1 candidates"):
        encoding(f"a {MASK}", "dog", ["river"], candidates="given")
    with pytest.raises(KAdapterError, match=r"record 7: found plain text; expected \[MASK\] and candidates"):
        encoding("a b", "", candidates="given")
    with pytest.raises(KAdapterError, match="record 7: label '' is not among the 1 labels"):
        encoding(f"a {MASK}", "dog", labels=["likes"])
    with pytest.raises(KAdapterError, match="the answer ' ' has no tokens"):
        encoding(f"a {MASK}", " ")
    other = "causal" if reading == "masked" else "masked"
    if other == "masked":
        with pytest.raises(KAdapterError, match="has no mask token: a causal model is asked with reading='causal'"):
            catalog.task("cloze", reading=other).encode(tokenizer, {"id": [], "text": [], "answer": []})
    with pytest.raises(KAdapterError, match="expected one \\[X\\] and one \\[Y\\]"):
        in_words(FACTS, TEMPLATES | {"likes": ["[X] is"]})
    with pytest.raises(KAdapterError, match="is one that a probe asks with"):
        in_words(FACTS, TEMPLATES, never=["[X]  Wrote down [Y]"])
    with pytest.raises(KAdapterError, match="relation 'hates' has no template"):
        in_words(FACTS, {"likes": TEMPLATES["likes"]})
    with pytest.raises(KAdapterError, match=r"plain text 0 has \[MASK\]"):
        plain([MASK])


def test_a_new_head_learns_from_text_alone(folder, reading, tmp_path):
    """What the K-Adapter authors did for LAMA: everything stays but a new linear layer to the vocabulary."""
    task, tokenizer = catalog.task("cloze", reading=reading, language_head="new"), load_tokenizer(folder)
    model = KnowledgeModel(Backbone(folder), "concat", task=task)
    encoded = encode(task, tokenizer, plain(TEXTS * 4))
    before, fingerprint = predict(model, encoded).loss, model.backbone.fingerprint
    fit(
        model,
        encoded,
        None,
        Settings("frozen", epochs=6, batch_size=4, learning_rate=1e-2, select="last"),
        tmp_path,
        progress=False,
        cache=tmp_path,
    )
    assert predict(model, encoded).loss < 0.8 * before
    assert model.backbone.fingerprint == fingerprint
