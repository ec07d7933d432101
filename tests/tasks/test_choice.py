"""Multiple choice: answers as sequences, scores side by side, and learning from the world's questions."""

import numpy as np
import pytest
import torch
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from kadapter import catalog
from kadapter.errors import KAdapterError
from kadapter.formats.schemas import CHOICE
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.tasks.choice import fit_pair
from kadapter.training.batches import encode
from kadapter.training.fit import Settings, fit
from kadapter.training.predict import predict
from kadapter.world import World
from kadapter.world.questions import choice
from tests import zoo


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer("minilm")


def questions(*rows) -> Dataset:
    """Rows of (context, question, answers, label)."""
    columns = ("context", "question", "answers", "label")
    return Dataset.from_list(
        [{"id": f"q{i}"} | dict(zip(columns, row, strict=True)) for i, row in enumerate(rows)], features=CHOICE
    )


SHORT = questions(
    ("They saw Arbon .", "Who left ?", ["Brill", "a dog", "Coxon and Dunes"], 2),
    ("It rained .", "Why ?", ["June", "Thing"], 0),
)


@pytest.mark.parametrize("family", list(zoo.FAMILIES))
def test_an_answer_is_context_question_and_answer_in_the_tokenizers_own_special_tokens(family):
    tokenizer = zoo.FAMILIES[family].tokenizer()
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    encoded = encode(catalog.task("choice", max_length=200), tokenizer, SHORT)
    rows = [row.tolist() for row in encoded.columns["input_ids"].rows()]
    assert encoded.groups.tolist() == [0, 3, 5] and len(rows) == 5
    context, question, answer = "They saw Arbon .", "Who left ?", "Coxon and Dunes"
    left, right = tokenizer(context, question), tokenizer(question, answer)
    ends = len(left["input_ids"]) - left.sequence_ids(0)[::-1].index(1)  # up to the question's last token
    begins = len(right["input_ids"]) - right.sequence_ids(0)[::-1].index(0)  # after the question's last token
    assert rows[2] == left["input_ids"][:ends] + right["input_ids"][begins:]


def test_the_layouts_of_roberta_and_bert():
    one = questions(("saw", "left", ["there"], 0))
    for family, expected in (
        ("roberta", "<s> {} </s> </s> {} </s> </s> {} </s>"),
        ("bert", "[CLS] {} [SEP] {} [SEP] {} [SEP]"),
    ):
        tokenizer = zoo.FAMILIES[family].tokenizer()
        (row,) = encode(catalog.task("choice"), tokenizer, one).columns["input_ids"].rows()
        parts = [" ".join(tokenizer.tokenize(text)) for text in ("saw", "left", "there")]
        assert " ".join(tokenizer.convert_ids_to_tokens(row)) == expected.format(*parts)


words = st.lists(st.sampled_from("rain river house garden ship".split()), min_size=1, max_size=30)


@settings(max_examples=60, deadline=None)
@given(context=words, question=words, answer=words, limit=st.integers(8, 80))
def test_only_the_context_is_cut(tokenizer, context, question, answer, limit):
    texts = [" ".join(part) for part in (context, question, answer)]  # one token a word
    data = questions((texts[0], texts[1], [texts[2]], 0))
    (row,) = encode(catalog.task("choice", max_length=limit), tokenizer, data).columns["input_ids"].rows()
    assert len(row) <= limit
    found = [p.split() for p in tokenizer.decode(row).removeprefix("[CLS]").removesuffix("[SEP]").split("[SEP]")]
    room = limit - 4
    if len(question) + len(answer) <= room:
        assert found[1:] == [question, answer]
        assert found[0] == context[: room - len(question) - len(answer)]
    else:
        assert found[0] == [] and len(found[1]) + len(found[2]) == room
        assert found[1] == question[: len(found[1])] and found[2] == answer[: len(found[2])]


@given(q=st.integers(0, 40), a=st.integers(0, 40), room=st.integers(2, 40))
def test_the_longer_of_question_and_answer_gives_way(q, a, room):
    kept = [len(part) for part in fit_pair(list(range(q)), list(range(a)), room)]
    expected = [q, a]
    while sum(expected) > room:  # a token at a time from the longer, of equals from the question
        expected[expected[1] > expected[0]] -= 1
    assert kept == expected


def test_the_loss_is_cross_entropy_over_each_questions_answers():
    task = catalog.task("choice")
    labels = torch.tensor([2, -1, 1])
    inf = float("inf")
    logits = torch.tensor([[0.5, 1.0, -0.3], [1.0, 2.0, -inf], [0.1, 0.7, -inf]], requires_grad=True)
    total = 0.0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        if label >= 0:
            total += np.log(np.sum(np.exp(row))) - row[label]
    loss = task.loss(logits, {"labels": labels})
    assert loss.item() == pytest.approx(total / 2, rel=1e-5)
    loss.backward()
    assert logits.grad.isfinite().all() and logits.grad[1].eq(0).all()
    assert float(task.loss(logits.detach(), {"labels": torch.full((3,), -1)})) == 0.0


def test_the_head_scores_each_sequence_by_its_first_token_or_its_mean():
    fused = torch.randn(3, 4, 5)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]])
    batch = {"group": torch.tensor([0, 0, 1]), "attention_mask": mask}
    for pooling, read in (
        ("first", fused[:, 0]),
        ("mean", torch.stack([fused[0].mean(0), fused[1, :2].mean(0), fused[2, :3].mean(0)])),
    ):
        head = catalog.task("choice", pooling=pooling).head(5, 5).eval()
        scores = (read @ head.out.weight[0] + head.out.bias).tolist()
        found = head(fused, batch).tolist()
        assert found[0] == pytest.approx(scores[:2], rel=1e-4)
        assert found[1] == [pytest.approx(scores[2], rel=1e-4), -float("inf")]


@given(
    rows=st.lists(st.integers(2, 5).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n - 1))), min_size=1),
    data=st.data(),
)
def test_perfect_scores_score_1_in_any_order(rows, data):
    task = catalog.task("choice")
    outputs = [np.eye(n)[label] for n, label in rows]
    labels = np.array([label for _, label in rows])
    assert task.metrics(task.decide(outputs), labels) == {"accuracy": 1.0}
    order = data.draw(st.permutations(range(len(rows))))
    wrong = [-outputs[0], *outputs[1:]]
    shuffled = [wrong[i] for i in order]
    expected = (len(rows) - 1) / len(rows)
    assert task.metrics(task.decide(shuffled), labels[order])["accuracy"] == pytest.approx(expected)


def test_broken_and_unlabelled_questions(tokenizer, tiny_folder):
    task = catalog.task("choice")
    with pytest.raises(KAdapterError, match="record q0: found 2 answers and label 2; expected answers and the number"):
        encode(task, tokenizer, questions(("a", "b", ["c", "d"], 2)))
    with pytest.raises(KAdapterError, match="record q0: found 0 answers"):
        encode(task, tokenizer, questions(("a", "b", [], -1)))
    with pytest.raises(KAdapterError, match="unknown pooling 'last'"):
        catalog.task("choice", pooling="last")
    encoded = encode(task, tokenizer, questions(("a", "b", ["c", "d"], -1), ("a", "b", ["c", "d"], 1)))
    assert task.counts(encoded) == {"without a label": 1}
    predictions = predict(KnowledgeModel(Backbone(tiny_folder), task=task), encoded)
    assert len(predictions.outputs) == 2 and predictions.decided.shape == (2,)
    with pytest.raises(KAdapterError, match="accuracy: 1 of 2 examples have no gold label; expected one each"):
        _ = predictions.scores


@pytest.fixture(scope="module")
def world():
    return choice(World(0, 96))


@pytest.mark.parametrize("regime", ["frozen", "full"])
def test_the_worlds_questions_are_learned_with_and_without_a_store(tiny_folder, tmp_path, world, regime):
    task = catalog.task("choice", max_length=48, pooling="mean")
    encoded = encode(task, load_tokenizer(tiny_folder), world["train"].select(range(24)))
    losses = []
    for store in (False, True) if regime == "frozen" else (False,):
        model = KnowledgeModel(Backbone(tiny_folder), task=task)
        model.head.dropout.p = 0.0
        before = predict(model, encoded).loss
        epochs, rate = (30, 0.5) if regime == "frozen" else (12, 2e-3)
        training = Settings(
            regime=regime, epochs=epochs, batch_size=5, learning_rate=rate, bf16=False, store=store, warmup_ratio=0.1
        )
        fitted = fit(model, encoded, encoded, training, tmp_path / "fit", progress=False, cache=tmp_path / "cache")
        after = predict(model, encoded)
        assert after.loss < 0.8 * before and fitted.best["eval_accuracy"] == after.scores["accuracy"] > 0.5
        losses.append([h["loss"] for h in fitted.history if "loss" in h])
    assert losses[0] == pytest.approx(losses[-1], rel=1e-3)


def test_batches_and_order_change_no_prediction(tiny_folder, world):
    task = catalog.task("choice", max_length=48, pooling="mean")
    tokenizer, model = load_tokenizer(tiny_folder), KnowledgeModel(Backbone(tiny_folder), task=task)
    data = world["valid"]
    encoded = encode(task, tokenizer, data)
    one, many = predict(model, encoded, batch_tokens=1), predict(model, encoded, batch_tokens=100_000)
    order = np.random.default_rng(0).permutation(len(data))
    moved = predict(model, encode(task, tokenizer, data.select(order)))
    assert one.loss == pytest.approx(many.loss, rel=1e-4) and moved.loss == pytest.approx(many.loss, rel=1e-4)
    assert one.scores == many.scores == moved.scores
    for place, index in enumerate(order):
        np.testing.assert_allclose(one.outputs[index], many.outputs[index], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(moved.outputs[place], many.outputs[index], rtol=1e-4, atol=1e-4)
