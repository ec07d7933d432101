"""Reading: paragraphs as sequences, places of answers, the shared norm, candidates and their sums, and learning from
the world's questions."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from kadapter import catalog
from kadapter.errors import KAdapterError
from kadapter.formats.schemas import OPENQA
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.scoring.squad import normalize_answer
from kadapter.tasks.span import NOWHERE, answer_patterns, find_answers
from kadapter.training.batches import encode
from kadapter.training.fit import Settings, fit
from kadapter.training.predict import predict
from kadapter.world import World
from kadapter.world.questions import reading
from tests import zoo


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer("minilm")


def questions(*rows) -> Dataset:
    """Rows of (question, answers, paragraphs)."""
    columns = ("question", "answers", "paragraphs")
    return Dataset.from_list(
        [{"id": str(i)} | dict(zip(columns, row, strict=True)) for i, row in enumerate(rows)], features=OPENQA
    )


RIVERS = questions(
    ("Which river ?", ["the Rhine"], ["The Rhine, or rhine.", "Nothing here at all", "A Rhine-side town"]),
    ("Who ?", ["Ada"], ["Bob came"]),
    ("Where ?", [], []),
)


@pytest.mark.parametrize("family", list(zoo.FAMILIES))
def test_a_paragraph_is_the_second_text_of_a_pair(family):
    tokenizer = zoo.FAMILIES[family].tokenizer()
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    question, paragraph = "Who left Zürich ?", "They saw Arbon there ; the naïve dog left Zürich ."
    task = catalog.task("span", max_length=200)
    encoded = encode(task, tokenizer, questions((question, ["the naïve dog"], [paragraph, "June"])))
    pair = tokenizer(question, paragraph)
    assert encoded.columns["input_ids"].rows()[0].tolist() == pair["input_ids"]
    start, end = encoded.columns["inside"][0]
    assert [i for i, part in enumerate(pair.sequence_ids(0)) if part == 1] == list(range(start, end))
    (place,), nothing = (row.tolist() for row in encoded.columns["labels"].rows())
    first, last = (
        pair.char_to_token(0, paragraph.index("naïve"), 1),
        pair.char_to_token(0, paragraph.index("dog") + 2, 1),
    )
    assert divmod(place, 200) == (first, last) and nothing == []
    places = encoded.aside["places"][0][0]
    assert paragraph[places[first - start][0] : places[last - start][1]].strip() == "naïve dog"


def test_places_of_answers_by_hand(tokenizer):
    task = catalog.task("span", max_length=40)
    encoded = encode(task, tokenizer, RIVERS)
    assert encoded.groups.tolist() == [0, 3, 4, 5]
    marked = []
    for ids, places in zip(encoded.columns["input_ids"].rows(), encoded.columns["labels"].rows(), strict=True):
        spans = (divmod(place, 40) for place in places.tolist())
        marked.append([tokenizer.convert_ids_to_tokens(ids[first : last + 1]) for first, last in spans])
    assert marked == [[["rhine"], ["rhine"]], [], [["rhine"]], [], []]
    assert task.counts(encoded) == {"without an answer in their paragraphs": 2}
    assert task.references(encoded) == [["the Rhine"], ["Ada"], []]


@pytest.mark.parametrize(
    ("answer", "text", "expected"),
    [
        ("U.S. Army", "the us army, the U.S. ARMY; U. S.-army", ["U.S. ARMY", "U. S.-army"]),
        ("King of the Hill", "King of Hill or king of a hill", ["King of Hill", "king of a hill"]),
        ("The", "breathe the air", ["the"]),
        ("2.5", "12.5 or 2.5, not 2.55", ["2.5"]),
        ("?!", "what?! no", ["?!"]),
        ("  ", "what?", []),
        ("Straße", "in der STRAßE, Straßen", ["STRAßE"]),
    ],
)
def test_what_counts_as_a_place_of_an_answer(answer, text, expected):
    offsets = np.array([(i, i + 1) for i in range(len(text))])  # a token a character
    found = find_answers(text, offsets, answer_patterns([answer, answer.upper()]))
    assert [text[first : last + 1] for first, last in found] == expected


vocabulary = st.sampled_from(["ada", "the", "rhine", "a", "rain", "Ada"])


@settings(max_examples=200)
@given(
    words=st.lists(vocabulary, max_size=14), answers=st.lists(st.lists(vocabulary, min_size=1, max_size=2), max_size=3)
)
def test_every_run_of_an_answers_words_is_a_place(words, answers):
    text = ", ".join(words)
    begins = np.concatenate([[0], np.cumsum([len(w) + 2 for w in words])]).astype(int)
    offsets = np.array([(b, b + len(w)) for b, w in zip(begins, words, strict=False)]).reshape(-1, 2)
    content = [i for i, w in enumerate(words) if w not in ("a", "the")]
    expected = set()
    for answer in answers:
        wanted = [w.lower() for w in answer if w not in ("a", "the")]
        if not wanted:  # nothing but articles: found as they stand
            expected |= {(i, i + len(answer) - 1) for i in range(len(words)) if words[i : i + len(answer)] == answer}
        for at in range(len(content) - len(wanted) + 1 if wanted else 0):
            run = content[at : at + len(wanted)]
            if [words[i].lower() for i in run] == wanted:
                expected.add((run[0], run[-1]))
    found = set(find_answers(text, offsets, answer_patterns([" ".join(a) for a in answers])))
    # an expression finds no two places of one answer that overlap ("ada ada" in "ada ada ada")
    assert found <= expected
    assert {token for place in found for token in place} >= {first for first, last in expected if first == last}
    assert bool(found) == bool(expected)


@settings(max_examples=50, deadline=None)
@given(tokens=st.integers(0, 60), question=st.integers(1, 30), limit=st.integers(12, 40), stride=st.integers(0, 30))
def test_windows_cover_a_paragraph(tokenizer, tokens, question, limit, stride):
    vocabulary = "rain river house garden ship".split()
    text = " ".join(vocabulary[i % 5] for i in range(tokens))
    task = catalog.task("span", max_length=limit, stride=stride)
    encoded = encode(task, tokenizer, questions((" ".join(["who"] * question), ["garden"], [text])))
    texts, begins = [], []
    for ids, (start, end) in zip(encoded.columns["input_ids"].rows(), encoded.columns["inside"], strict=True):
        assert len(ids) <= limit and start - 2 == min(question, limit // 2 - 3)
        texts.append(tokenizer.decode(ids[start:end]).split())
    for window, places in zip(texts, encoded.aside["places"][0], strict=True):
        assert [text[low:high] for low, high in places.tolist()] == window
        begins.append(places[0][0] if len(places) else 0)
    places = [divmod(p, limit) for row in encoded.columns["labels"].rows() for p in row.tolist()]
    assert len(places) == sum(w.count("garden") for w in texts) and all(f == e for f, e in places)
    room = limit - 3 - min(question, limit // 2 - 3)
    if stride == 0 or tokens <= room:
        assert len(texts) == 1 and texts[0] == text.split()[:room]
    else:
        covered = {i for b, w in zip(begins, texts, strict=True) for i in range(b, b + len(" ".join(w)))}
        assert covered >= {i for i, c in enumerate(text) if c != " "}
        step = min(stride, room)
        assert [text[:b].count(" ") for b in begins] == [step * i for i in range(len(begins))]
        assert all(len(a) == room for a, _ in pairwise(texts))


def batch_of(task, tokenizer, data):
    encoded = encode(task, tokenizer, data)
    return encoded, encoded.__getitems__(range(len(encoded)))


def spread(batch, seed=0, scale=2.0):
    """Random logits with the head's mask."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(*batch["input_ids"].shape, 2, generator=generator) * scale
    position = torch.arange(logits.shape[1])
    inside = (position >= batch["inside"][:, :1]) & (position < batch["inside"][:, 1:])
    return logits.masked_fill(~inside[..., None], NOWHERE)


def test_the_loss_is_normalised_over_a_questions_paragraphs(tokenizer):
    task = catalog.task("span", max_length=40)
    encoded, batch = batch_of(task, tokenizer, RIVERS)
    logits = spread(batch).requires_grad_()
    total = 0.0
    for low, high in pairwise(encoded.groups.tolist()):
        numerator, start_sum, end_sum = 0.0, 0.0, 0.0
        for sequence in range(low, high):
            for start, end in logits[sequence].tolist():
                start_sum, end_sum = start_sum + np.exp(start), end_sum + np.exp(end)
            for place in encoded.columns["labels"].rows()[sequence].tolist():
                first, last = divmod(place, 40)
                numerator += np.exp(logits[sequence, first, 0].item() + logits[sequence, last, 1].item())
        if numerator:
            total -= np.log(numerator / (start_sum * end_sum))
    loss = task.loss(logits, batch)
    assert loss.item() == pytest.approx(total / 3, rel=1e-5)
    loss.backward()
    assert logits.grad.isfinite().all() and logits.grad[:3].abs().sum() > 0 and logits.grad[3:].eq(0).all()


@pytest.mark.parametrize(("longest", "kept"), [(1, 1), (3, 4), (50, 100)])
def test_candidates_are_the_best_spans_of_each_paragraph(tokenizer, longest, kept):
    task = catalog.task("span", max_length=40, max_answer_tokens=longest, candidates=kept)
    encoded, batch = batch_of(task, tokenizer, RIVERS)
    logits = spread(batch)
    found = task.outputs(logits, batch)
    assert found[2].shape == (0, 4)  # nothing to read
    for candidates, (low, high) in zip(found[:2], pairwise(encoded.groups.tolist()), strict=False):
        whole = torch.stack([logits[low:high, :, k].double().flatten().logsumexp(0) for k in (0, 1)]).sum().item()
        expected = []
        for sequence in range(low, high):
            start, end = encoded.columns["inside"][sequence]
            spans = [
                (sequence - low, i - start, j - start, (logits[sequence, i, 0] + logits[sequence, j, 1]).item() - whole)
                for i in range(start, end)
                for j in range(i, min(end, i + longest))
            ]
            expected += sorted(spans, key=lambda s: -s[3])[:kept]
        np.testing.assert_allclose(candidates, expected, rtol=1e-4, atol=1e-5)


def test_the_same_answer_in_several_paragraphs_adds_up(tokenizer):
    task = catalog.task("span", max_length=40)
    data = questions(("Where ?", ["paris"], ["In Paris , or", "London or", "the paris ."]))
    encoded = encode(task, tokenizer, data)
    rows = [(0, 1, 1, 0.25), (1, 0, 0, 0.4), (2, 0, 2, 0.3), (2, 2, 2, 0.05)]  # Paris, London, "the paris .", "."
    outputs = [np.array([(*row[:3], np.log(row[3])) for row in rows])]
    ((first, second),) = task.answers(outputs, encoded)
    assert first == ("the paris .", pytest.approx(0.55)) and second == ("London", pytest.approx(0.4))
    assert task.decide(outputs, encoded) == ["the paris ."]
    assert task.metrics(task.decide(outputs, encoded), task.references(encoded)) == {"exact_match": 1.0, "f1": 1.0}
    assert task.decide([np.zeros((0, 4))], encoded) == [""]


@pytest.fixture(scope="module")
def world():
    return {name: reading(World(0, 96), name) for name in ("searchqa", "quasart")}


@pytest.mark.parametrize("name", ["searchqa", "quasart"])
def test_perfect_logits_score_1(tokenizer, world, name):
    task = catalog.task("span", max_length=96, max_answer_tokens=30)
    encoded, batch = batch_of(task, tokenizer, world[name]["dev"])
    logits = spread(batch)
    for sequence, places in enumerate(encoded.columns["labels"].rows()):
        for place in places.tolist():
            first, last = divmod(place, 96)
            logits[sequence, first, 0] = logits[sequence, last, 1] = 40.0
    decided = task.decide(task.outputs(logits, batch), encoded)
    assert task.metrics(decided, task.references(encoded)) == {"exact_match": 1.0, "f1": 1.0}


def test_batches_and_order_change_no_prediction(tiny_folder, world):
    task = catalog.task("span", max_length=64, max_paragraphs=4)
    tokenizer, model = load_tokenizer(tiny_folder), KnowledgeModel(Backbone(tiny_folder), task=task)
    data = world["searchqa"]["dev"]
    encoded = encode(task, tokenizer, data)
    assert np.diff(encoded.groups).tolist() == [4] * len(data)
    one, many = predict(model, encoded, batch_tokens=1), predict(model, encoded, batch_tokens=100_000)
    order = np.random.default_rng(0).permutation(len(data))
    rows = [data[int(i)] for i in order]
    reordered = Dataset.from_list([r | {"paragraphs": r["paragraphs"][3::-1]} for r in rows], features=OPENQA)
    backward = encode(task, tokenizer, reordered)
    moved = predict(model, backward)
    assert one.loss == pytest.approx(many.loss, rel=1e-4) and moved.loss == pytest.approx(many.loss, rel=1e-4)
    assert one.scores == many.scores == pytest.approx(moved.scores)
    for found, (place, index) in zip(task.answers(moved.outputs, backward), enumerate(order), strict=True):
        assert moved.references[place] == one.references[index]
        former = dict(task.answers(one.outputs, encoded)[index])
        assert {normalize_answer(t): p for t, p in found} == pytest.approx(
            {normalize_answer(t): p for t, p in former.items()}, rel=1e-3
        )
        assert sum(former.values()) <= 1 + 1e-6


@pytest.mark.parametrize("regime", ["frozen", "full"])
def test_the_worlds_questions_are_learned_with_and_without_a_store(tiny_folder, tmp_path, world, regime):
    task = catalog.task("span", max_length=48, max_paragraphs=3)
    encoded = encode(task, load_tokenizer(tiny_folder), world["quasart"]["train"].select(range(12)))
    losses = []
    for store in (False, True) if regime == "frozen" else (False,):
        model = KnowledgeModel(Backbone(tiny_folder), task=task)
        model.head.dropout.p = 0.0
        before = predict(model, encoded)
        epochs, rate = (12, 0.1) if regime == "frozen" else (12, 3e-3)
        training = Settings(regime=regime, epochs=epochs, batch_size=4, learning_rate=rate, bf16=False, store=store)
        fitted = fit(model, encoded, encoded, training, tmp_path / "fit", progress=False, cache=tmp_path / "cache")
        after = predict(model, encoded)
        assert after.loss < 0.75 * before.loss
        assert fitted.best["eval_f1"] == after.scores["f1"] > before.scores["f1"]
        losses.append([h["loss"] for h in fitted.history if "loss" in h])
    assert losses[0] == pytest.approx(losses[-1], rel=1e-3)


def test_bad_options_are_refused():
    with pytest.raises(KAdapterError, match="option of task 'span' stride: found -1; expected a whole number from 0"):
        catalog.task("span", stride=-1)
    with pytest.raises(KAdapterError, match="unknown option of task 'span' 'paragraphs': did you mean 'max_par"):
        catalog.task("span", paragraphs=3)
