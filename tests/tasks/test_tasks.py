"""Encodings: markers, spans, words and heads land on the right tokens, in any tokenizer, cropped or not; losses and
decisions."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kadapter import catalog
from kadapter.errors import KAdapterError
from kadapter.model.backbone import load_tokenizer
from kadapter.tasks.base import crop, encode_marked, pool_spans
from kadapter.training.batches import encode
from tests import tiny


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer("minilm")


def test_markers_stand_around_both_mentions(tokenizer):
    text = "New Fabris closed down June 16 ."
    ids, spans = encode_marked(tokenizer, [text], [[(0, 10, "@", "@"), (23, 30, "#", "#")]], 64)
    assert tokenizer.convert_ids_to_tokens(ids[0]) == (
        "[CLS] @ new fa ##bri ##s @ closed down # june 16 # . [SEP]".split()
    )
    assert spans[0] == [(1, 2, 2, 6), (9, 10, 10, 12)]


def test_nested_and_touching_mentions(tokenizer):
    ids, spans = encode_marked(tokenizer, ["Bank of Rome"], [[(0, 12, "@", "@"), (8, 12, "#", "#")]], 64)
    assert tokenizer.convert_ids_to_tokens(ids[0]) == "[CLS] @ bank of # rome # @ [SEP]".split()
    assert spans[0][1] == (4, 5, 5, 6)
    ids, spans = encode_marked(tokenizer, ["ParisFrance"], [[(5, 11, "@", "@"), (0, 5, "#", "#")]], 64)
    assert tokenizer.convert_ids_to_tokens(ids[0]) == "[CLS] # paris # @ france @ [SEP]".split()
    assert spans[0] == [(4, 5, 5, 6), (1, 2, 2, 3)]


words = st.lists(st.text("abcdefgh", min_size=1, max_size=9), min_size=3, max_size=40)


@settings(max_examples=60, deadline=None)
@given(words=words, data=st.data(), limit=st.integers(16, 70))
def test_spans_survive_cropping(tokenizer, words, data, limit):
    text = " ".join(words)
    starts = np.concatenate([[0], np.cumsum([len(w) + 1 for w in words])[:-1]])
    first, second = sorted(data.draw(st.lists(st.integers(0, len(words) - 1), min_size=2, max_size=2, unique=True)))
    mentions = [(int(starts[i]), int(starts[i]) + len(words[i]), m, m) for i, m in ((first, "@"), (second, "#"))]
    (ids,), (spans,) = encode_marked(tokenizer, [text], [mentions], limit)
    tokens = tokenizer.convert_ids_to_tokens(ids)
    assert len(ids) <= limit and tokens[0] == "[CLS]" and tokens[-1] == "[SEP]"
    for (start, end, low, high), marker, i in zip(spans, "@#", (first, second), strict=True):
        assert tokens[start:end] == [marker]  # never cut off, whatever the limit
        own = tokenizer.tokenize(words[i])
        assert tokens[low:high] == own[: high - low]
        if len(tokenizer(text)["input_ids"]) + 4 <= limit:
            assert high - low == len(own)


@settings(max_examples=200, deadline=None)
@given(tokens=st.integers(1, 60), budget=st.integers(8, 30), data=st.data())
def test_crop_keeps_what_it_must(tokens, budget, data):
    spans = []
    for _ in range(2):
        start = data.draw(st.integers(0, tokens - 1))
        spans.append((start, data.draw(st.integers(start + 1, min(tokens, start + 4)))))
    kept = crop(tokens, spans, budget)
    assert len(kept) == min(tokens, budget) and (np.diff(kept) > 0).all() and kept.min() >= 0 and kept.max() < tokens
    for start, end in spans:
        assert set(range(start, min(end, start + budget // 2))) <= set(kept.tolist())


def test_pooling_is_the_mean_of_the_span():
    fused = torch.arange(24.0).reshape(1, 6, 4)
    pooled = pool_spans(fused, torch.tensor([[[1, 2], [2, 5]]]))
    assert pooled.tolist() == [[4, 5, 6, 7, 12, 13, 14, 15]]  # row 1; mean of rows 2, 3, 4


def test_relation_pooling_options(tokenizer):
    data = tiny.relations(4)
    labels = ["hates", "knows", "leads", "likes"]
    for pooling, expected in (("marker", [[1, 2], [7, 8]]), ("mean", [[2, 4], [8, 10]])):
        encoded = encode(catalog.task("relation", labels=labels, pooling=pooling), tokenizer, data)
        tokens = tokenizer.convert_ids_to_tokens(encoded.columns["input_ids"].rows()[0])
        assert tokens[:11] == "[CLS] @ person ##0 @ likes # thing ##0 # much".split()
        spans = encoded.columns["spans"][0].tolist()
        assert spans == [[1, 2], [6, 7]] if pooling == "marker" else [[2, 4], [7, 9]], expected
    assert encoded.columns["labels"][:4].tolist() == [3, 0, 1, 2]


def test_typed_markers_say_the_types_in_words(tokenizer):
    row = tiny.relations(1)[0] | {"subj_type": "PERSON", "obj_type": "STATE_OR_PROVINCE"}
    columns = {name: [value] for name, value in row.items()}
    task = catalog.task("relation", labels=["likes"], markers="typed")
    encoded = task.encode(tokenizer, columns)
    assert tokenizer.convert_ids_to_tokens(encoded["input_ids"][0]) == (
        "[CLS] @ * person * person ##0 @ likes # ^ state or province ^ thing ##0 # much . [SEP]".split()
    )
    assert encoded["spans"] == [[(1, 2), (9, 10)]]  # the first @ and the first #
    mean = catalog.task("relation", labels=["likes"], markers="typed", pooling="mean")
    assert mean.encode(tokenizer, columns)["spans"] == [[(5, 7), (15, 17)]]
    untyped = columns | {"subj_type": [""], "obj_type": ["/location/city"]}
    tokens = tokenizer.convert_ids_to_tokens(task.encode(tokenizer, untyped)["input_ids"][0])
    assert tokens == "[CLS] @ person ##0 @ likes # ^ location city ^ thing ##0 # much . [SEP]".split()
    plain = catalog.task("relation", labels=["likes"])
    without = columns | {"subj_type": [""], "obj_type": [""]}
    assert task.encode(tokenizer, without) == plain.encode(tokenizer, columns)
    assert plain.options()["markers"] == "plain"
    with pytest.raises(KAdapterError, match="unknown markers 'type': did you mean 'typed'"):
        catalog.task("relation", markers="type")


def test_words_and_heads_land_on_first_subwords(tokenizer):
    data = tiny.trees(2)  # "Dogs bark loudly" 2 0 2; "The dog barked ." 2 3 0 3
    encoded = encode(catalog.task("dependency"), tokenizer, data)
    assert (
        tokenizer.convert_ids_to_tokens(encoded.columns["input_ids"].rows()[0])
        == "[CLS] dogs bark loudly [SEP]".split()
    )
    assert encoded.columns["words"].rows()[0].tolist() == [1, 2, 3]
    assert encoded.columns["heads"].rows()[0].tolist() == [2, 0, 2]  # the root points at token 0
    row = {"id": ["x"], "words": [["Unfathomable", "naïveté", "(", "sic", ")"]], "heads": [[2, 0, 4, 2, 4]]}
    columns = catalog.task("dependency").encode(tokenizer, row)
    tokens = tokenizer.convert_ids_to_tokens(columns["input_ids"][0])
    firsts = [tokens.index(t) for t in ("un", "naive", "(", "sic", ")")]
    assert columns["words"][0] == firsts
    assert columns["heads"][0] == [firsts[1], 0, firsts[3], firsts[1], firsts[3]]


def test_a_sentence_past_the_limit_keeps_its_beginning(tokenizer):
    row = {"id": ["x"], "words": [["a"] * 10], "heads": [[0, 1, 1, 1, 9, 1, 1, 1, 1, 1]]}
    columns = catalog.task("dependency", max_length=8).encode(tokenizer, row)
    assert len(columns["input_ids"][0]) == 8
    assert columns["words"][0] == [1, 2, 3, 4, 5, 6, 0, 0, 0, 0]
    assert columns["heads"][0] == [0, 1, 1, 1, -1, 1, -1, -1, -1, -1]  # -1: lost, counted wrong


@pytest.mark.parametrize("head_type", ["position", "biaffine"])
def test_lost_words_have_no_loss_and_count_as_wrong(tokenizer, head_type):
    task = catalog.task("dependency", max_length=8, head_type=head_type)
    row = {"id": ["x"], "words": [["a"] * 10], "heads": [[0] + [1] * 9]}
    from kadapter.training.batches import Encoded, Ragged

    columns = {n: Ragged.of(v) for n, v in task.encode(tokenizer, row).items()}
    encoded = Encoded(columns, {"input_ids": 0, **task.pads})
    batch = encoded.__getitems__([0])
    torch.manual_seed(0)
    head = task.head(6, 6).eval()
    logits = head(torch.randn(1, 8, 6), batch)
    expected = torch.nn.functional.cross_entropy(logits[0, :6], batch["heads"][0, :6])
    torch.testing.assert_close(task.loss(logits, batch), expected)
    perfect = [np.maximum(r, 0) for r in task.references(encoded)]
    assert task.metrics(perfect, task.references(encoded))["uas"] == pytest.approx(6 / 10)


def test_unknown_labels_are_refused(tokenizer):
    with pytest.raises(KAdapterError, match=r"record 1: label 'hates' is not among the 1 labels of training \(likes\)"):
        encode(catalog.task("relation", labels=["likes"]), tokenizer, tiny.relations(4))
    with pytest.raises(KAdapterError, match="record 0: label 'person' is not among the 0 labels"):
        encode(catalog.task("typing", labels=[]), tokenizer, tiny.typings(4))
    with pytest.raises(KAdapterError, match="nothing to encode for task typing"):
        encode(catalog.task("typing", labels=[]), tokenizer, tiny.typings(0))


def test_unknown_names_and_options_are_refused():
    with pytest.raises(KAdapterError, match="unknown task 'relaton': did you mean 'relation'"):
        catalog.task("relaton")
    with pytest.raises(KAdapterError, match="unknown option of task 'relation' 'poolling': did you mean 'pooling'"):
        catalog.task("relation", poolling="mean")
    with pytest.raises(KAdapterError, match="unknown pooling 'max'"):
        catalog.task("relation", pooling="max")
    with pytest.raises(KAdapterError, match="unknown knowledge 'factal': did you mean 'factual'"):
        catalog.knowledge("factal")
    with pytest.raises(KAdapterError, match="unknown model 'F.G': did you mean 'F.L'"):
        catalog.adapters_of("F+G", ["F", "L"])
    with pytest.raises(KAdapterError, match="unknown format 'treks'"):
        catalog.format_module("treks")


def test_typing_decisions():
    logits = [np.array([-1.0, 2.0, 0.5]), np.array([-3.0, -0.1, -2.0])]
    labels = ["a", "b", "c"]
    assert catalog.task("typing", labels=labels).decide(logits).tolist() == [[0, 1, 1], [0, 0, 0]]
    # FIGER: at least one type, the arg-max
    assert catalog.task("typing", labels=labels, scorer="figer").decide(logits).tolist() == [[0, 1, 1], [0, 1, 0]]


def test_the_negative_label_does_not_count():
    task = catalog.task("relation", labels=["a", "no_relation"])
    assert task.metric.negative == 1
    # gold a a no; predicted a no a: one of two predicted and one of two gold are right
    assert task.metrics(np.array([0, 1, 0]), np.array([0, 0, 1]))["f1"] == pytest.approx(0.5)
    assert catalog.task("relation", labels=["a", "b"]).metric.negative is None
