"""Examples of several sequences: every batch holds all of them, in their order, within the memory that lengths
promise."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kadapter import catalog
from kadapter.model.adapter import build_adapter
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.tasks.base import by_group, pair_template
from kadapter.training import batches
from kadapter.training.batches import Encoded, Ragged, encode
from kadapter.training.features import open_store, size_of, token_batches
from kadapter.training.fit import Settings as Training
from kadapter.training.fit import attach_store
from tests import tiny, zoo

examples = st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=5), min_size=1, max_size=12)


def grouped(shapes: list[list[int]]) -> Encoded:
    """Sequences of the given lengths, each token its own number; what belongs to examples is numbered from 100."""
    lengths = [n for sequences in shapes for n in sequences]
    flat, tokens = [], iter(range(1, sum(lengths) + 1))
    for length in lengths:
        flat.append([next(tokens) for _ in range(length)])
    columns = {
        "input_ids": Ragged.of(flat),
        "numbers": np.arange(len(flat)),
        "labels": np.arange(len(shapes)) + 100,
        "per_example": Ragged.of([[i] * (i % 3) for i in range(len(shapes))]),
    }
    groups = np.concatenate([[0], np.cumsum([len(s) for s in shapes])])
    return Encoded(columns, {"input_ids": 0, "per_example": -1}, groups)


@settings(deadline=None)
@given(shapes=examples, data=st.data())
def test_a_batch_holds_every_sequence_of_its_examples(shapes, data):
    encoded = grouped(shapes)
    assert len(encoded) == len(shapes)
    chosen = data.draw(st.lists(st.integers(0, len(shapes) - 1), min_size=1, max_size=6))
    batch = encoded.__getitems__(chosen)
    rows = encoded.columns["input_ids"].rows()
    expected, group, numbers = [], [], []
    for place, example in enumerate(chosen):
        first = sum(len(s) for s in shapes[:example])
        for sequence in range(first, first + len(shapes[example])):
            expected.append(rows[sequence].tolist())
            group.append(place)
            numbers.append(sequence)
    assert [
        row[mask.bool()].tolist() for row, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True)
    ] == expected
    assert batch["group"].tolist() == group
    assert batch["labels"].tolist() == [100 + e for e in chosen]
    assert [row[row >= 0].tolist() for row in batch["per_example"]] == [[e] * (e % 3) for e in chosen]
    if sum(len(s) for s in shapes) != len(shapes):
        assert batch["numbers"].tolist() == numbers


@settings(deadline=None)
@given(shapes=examples, budget=st.integers(1, 120))
def test_batches_by_length_stay_within_the_budget(shapes, budget):
    encoded = grouped(shapes)
    batches = list(token_batches(encoded.lengths, budget))
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(shapes)))
    for chosen in batches:
        padded = encoded.__getitems__(chosen)["input_ids"].numel()
        assert padded <= budget or len(chosen) == 1
    batches = list(encoded.batches(3, seed=0))
    assert sorted(i for b in batches for i in b) == list(range(len(shapes)))
    assert [len(b) for b in batches].count(3) >= len(shapes) // 3


def test_groups_are_part_of_what_the_data_are():
    one, other = grouped([[2], [3, 1]]), grouped([[2, 3], [1]])
    assert one.key != other.key and one.key == grouped([[2], [3, 1]]).key


LABELS = ["hates", "knows", "leads", "likes"]


@pytest.mark.parametrize(
    ("task", "make", "labels"), [("relation", tiny.relations, LABELS), ("dependency", tiny.trees, [])]
)
def test_examples_are_the_same_in_whatever_chunks_they_are_encoded(tiny_folder, monkeypatch, task, make, labels):
    made, tokenizer = catalog.task(task, labels=labels, max_length=32), load_tokenizer(tiny_folder)
    whole = encode(made, tokenizer, make())
    monkeypatch.setattr(batches, "ENCODE_CHUNK", 7)
    assert encode(made, tokenizer, make()).key == whole.key and len(whole) == len(make())


@settings(deadline=None)
@given(counts=st.lists(st.integers(1, 4), min_size=1, max_size=6))
def test_values_stand_side_by_side(counts):
    group = torch.tensor([g for g, n in enumerate(counts) for _ in range(n)])
    values = torch.arange(len(group) * 2.0).view(-1, 2).requires_grad_()
    out = by_group(values, group, -5.0)
    rows = iter(values.tolist())
    for row, count in zip(out.tolist(), counts, strict=True):
        assert row == [next(rows) for _ in range(count)] + [[-5.0, -5.0]] * (max(counts) - count)
    out.sum().backward()
    assert values.grad.eq(1).all()


@pytest.mark.parametrize("kind", ["states", "features"])
def test_the_store_of_grouped_examples_gives_each_sequence_its_own_states(tiny_folder, tmp_path, kind):
    encoded = grouped([[4, 2, 7], [1], [5, 5], [3, 9, 2, 2]])
    model = KnowledgeModel(Backbone(tiny_folder), adapters={"F": build_adapter(tiny.sizes())}).eval()
    store = open_store(model, encoded, kind, torch.float32, tmp_path, batch_tokens=16, progress=False)
    assert store.nbytes == size_of(model, encoded, kind, torch.float32)
    regime = "adapter" if kind == "states" else "frozen"
    attached = attach_store(model, encoded, Training(regime=regime, store=True, bf16=False), False, tmp_path)
    assert attached.groups is encoded.groups and len(attached) == 4
    batch = attached.__getitems__([3, 0])
    plain = encoded.__getitems__([3, 0])
    with torch.no_grad():
        expected = model.backbone.hidden_states(
            plain["input_ids"], plain["attention_mask"], state_indices=model.state_indices
        )
        if kind == "features":
            expected = model.represent(expected, plain["attention_mask"])
    real = plain["attention_mask"].bool()
    torch.testing.assert_close(batch[kind][:, real], expected[:, real], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", ["roberta", "bert", "mpnet", "gpt2", "llama", "t5"])
def test_a_pair_template_is_what_stands_around_two_texts(family):
    tokenizer = zoo.FAMILIES[family].tokenizer()
    before, between, after = pair_template(tokenizer)
    texts = [tokenizer(t, add_special_tokens=False)["input_ids"] for t in ("They saw Arbon", "Brill left June")]
    assert before + texts[0] + between + texts[1] + after == tokenizer("They saw Arbon", "Brill left June")["input_ids"]
    if family == "roberta":
        assert [tokenizer.convert_ids_to_tokens(p) for p in (before, between, after)] == [
            ["<s>"],
            ["</s>", "</s>"],
            ["</s>"],
        ]
