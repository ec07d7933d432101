"""The tasks that kinds of knowledge brought: their encoding, losses and constant answers against reckoning by hand."""

import numpy as np
import pytest
import torch

from kadapter.errors import KAdapterError
from kadapter.formats.schemas import DEPENDENCY, ENTITY, MATCH, TYPING
from kadapter.knowledge.making import table
from kadapter.model.backbone import load_tokenizer
from kadapter.scoring import metrics
from kadapter.tasks.dependency_relation import RELATIONS, DependencyRelationTask
from kadapter.tasks.linking import LinkingTask
from kadapter.tasks.matching import MatchingTask
from kadapter.tasks.typing import TypingTask
from kadapter.training.batches import encode


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer("minilm")


def match(texts, answer=0, label="", spans=()):
    return {"id": "a", "label": label, "answer": answer, "texts": [{"text": t, "spans": list(spans)} for t in texts]}


def test_matching_reads_spans_or_all(tokenizer):
    span = {"start": 4, "end": 8}
    rows = [match(["one cats", "two dogs", "red fish"], 1), match(["six ants", "ten bees"])]
    encoded = encode(MatchingTask([""], 16), tokenizer, table(rows, MATCH), progress=False)
    assert len(encoded) == 2 and encoded.groups.tolist() == [0, 3, 5]
    assert encoded.columns["spans"].tolist() == [[[0, 4]]] * 5  # [CLS] one cats [SEP]
    marked = [match(["one cats", "two dogs"], spans=[span, {"start": 0, "end": 3}])]
    encoded = encode(MatchingTask([""], 16), tokenizer, table(marked, MATCH), progress=False)
    assert encoded.columns["spans"].tolist() == [[[2, 3], [1, 2]]] * 2


@pytest.mark.parametrize("scorer", ["product", "translation"])
def test_matching_scores_and_loss(scorer):
    torch.manual_seed(0)
    task = MatchingTask(["r", "s"], 16, scorer=scorer)
    head = task.head(6, 4).eval()
    group = torch.tensor([0, 0, 0, 1, 1, 1])
    batch = {
        "spans": torch.tensor([[[0, 2]]] * 6), "group": group, "relations": torch.tensor([0, 1]),
        "labels": torch.tensor([1, 0]), "keys": torch.tensor([7, 8]),
    }  # fmt: skip
    fused = torch.randn(6, 3, 6)
    scores = head(fused, batch)
    vectors = torch.nn.functional.normalize(head.project(fused[:, :2].mean(1)), dim=-1)
    asked = vectors[[0, 3]]
    others = vectors[[1, 2, 4, 5]].view(2, 2, -1)
    if scorer == "product":
        wanted = head.scale * torch.einsum("bd,bkd->bk", asked, others)
    else:
        wanted = head.margin - head.scale * (asked + head.relations.weight)[:, None].sub(others).norm(dim=-1)
    assert torch.allclose(scores, wanted, atol=1e-5)
    sigmoid = torch.sigmoid(scores)
    by_hand = -(sigmoid[[0, 1], [1, 0]].log() + (1 - sigmoid[[0, 1], [0, 1]]).log()).mean()
    assert torch.allclose(task.loss(scores, batch), by_hand, atol=1e-5)
    trained = head.train()(fused, batch)  # the other example's right text stands beside, its own does not
    assert trained.shape == (2, 4) and torch.isinf(trained[[0, 1], [2, 3]]).all()
    moved = asked if head.relations is None else asked + head.relations.weight
    assert torch.allclose(trained[0, 3], head._score(moved[0], others[1, 0]))
    batch["keys"] = torch.tensor([7, 7])  # the same text is no wrong one
    assert torch.isinf(head(fused, batch)[:, 2:]).all()
    assert torch.isfinite(task.loss(head(fused, batch), batch))
    outputs = task.outputs(scores.detach(), batch)
    assert [len(row) for row in outputs] == [2, 2] and (task.decide(outputs) == scores.argmax(1).numpy()).all()


def test_linking_chooses_among_candidates(tokenizer):
    rows = [
        {"id": str(i), "text": "Old Ada sang", "start": 0, "end": 7, "label": label, "candidates": names}
        for i, (label, names) in enumerate([("Q1", ["Q3", "Q1"]), ("Q2", ["Q2", "Q1", "Q3"]), ("Q2", ["Q2", "Q0"])])
    ]
    task = LinkingTask(["Q0", "Q1", "Q2", "Q3"], 16, pooling="mean")
    encoded = encode(task, tokenizer, table(rows, ENTITY), progress=False)
    batch = encoded.__getitems__([0, 1])
    assert batch["candidates"].tolist() == [[3, 1, -1], [2, 1, 3]]
    head = task.head(8, 8).eval()
    fused = torch.randn(2, batch["input_ids"].shape[1], 8)
    logits = head(fused, batch)
    least = torch.finfo(logits.dtype).min
    assert (logits == least).tolist() == [[True, False, True, False], [True, False, False, False]]
    assert (head.train()(fused, batch) == least).tolist() == [[True, False, False, False], [True, False, False, False]]
    assert (head.eval()(fused[:1], encoded.__getitems__([2])) == least).tolist() == [[False, True, False, True]]
    assert task.constant(encoded, encoded).tolist() == [1, 2, 2]
    with pytest.raises(KAdapterError, match="label 'Q9' is not among the 4 labels"):
        encode(task, tokenizer, table([rows[0] | {"label": "Q9"}], ENTITY), progress=False)


def tree(words, heads, deprels):
    row = {"id": "a", "words": words, "heads": heads, "deprels": deprels, "upos": [""] * len(words)}
    return table([row], DEPENDENCY)


def trees(deprels):
    return tree(["Dogs", "bark", "loudly"], [2, 0, 2], deprels)


def test_dependency_relations(tokenizer):
    task = DependencyRelationTask(max_length=16)
    assert task.labels == RELATIONS and len(set(RELATIONS)) == 37
    encoded = encode(task, tokenizer, trees(["nsubj:pass", "root", "advmod"]), progress=False)
    names = [RELATIONS[i] for i in encoded.columns["relations"].values]
    assert names == ["nsubj", "root", "advmod"]
    assert task.references(encoded)[0][:, 0].tolist() == [2, 0, 2]
    batch = encoded.__getitems__([0])
    fused = torch.randn(1, batch["input_ids"].shape[1], 12)
    for head_type in ("biaffine", "position"):
        task = DependencyRelationTask(max_length=16, head_type=head_type)
        head = task.head(12, 8).eval()
        logits = head(fused, batch)
        assert logits.shape[-1] == len(RELATIONS) + (16 if head_type == "position" else fused.shape[1])
        assert torch.isfinite(task.loss(logits, batch))
        [answer] = task.outputs(logits, batch)
        assert answer.shape == (3, 2) and (answer[:, 1] < len(RELATIONS)).all()
    with pytest.raises(KAdapterError, match="record a: relation 'dobj' is none of Universal Dependencies' 37"):
        encode(task, tokenizer, trees(["dobj", "root", "advmod"]), progress=False)


def test_words_cut_off_have_no_relation(tokenizer):
    long = tree(["a"] * 9, [0, *range(1, 9)], ["dep"] * 9)
    columns = encode(DependencyRelationTask(max_length=8), tokenizer, long, progress=False).columns
    assert (columns["relations"].values == -1).sum() == (columns["heads"].values == -1).sum() > 0


def test_las_by_hand():
    gold = [np.array([[2, 1], [0, 5], [2, 3], [-100, -100]])]
    found = [np.array([[2, 1], [0, 4], [1, 3], [9, 9]])]
    assert metrics.get("las")(found, gold) == pytest.approx({"las": 1 / 3, "uas": 2 / 3, "relations": 2 / 3})
    with pytest.raises(KAdapterError, match="las: sentence 0 has 2 predictions for 4 words"):
        metrics.get("las")([found[0][:2]], gold)


def test_a_masked_mention_is_hidden(tokenizer):
    rows = [{"id": "a", "text": "the dog sat", "start": 4, "end": 7, "labels": ["x"], "ents": []}]
    task = TypingTask(["x"], 16, pooling="mean", masked=True)
    encoded = encode(task, tokenizer, table(rows, TYPING), progress=False)
    ids = encoded.columns["input_ids"].values
    [[start, end]] = encoded.columns["spans"][0].tolist()
    assert ids[start:end].tolist() == [tokenizer.mask_token_id]
    assert tokenizer.decode(ids) == "[CLS] the @ [MASK] @ sat [SEP]"
    assert task.options()["masked"] and "masked" not in TypingTask(["x"]).options()
