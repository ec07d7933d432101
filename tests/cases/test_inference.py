"""Questions that a person writes: brackets are read, answers are what the model gives for the same example in a
dataset."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kadapter import catalog
from kadapter.cases.inference import ask, logits, read_marked
from kadapter.cases.table import Case
from kadapter.errors import KAdapterError
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.training.batches import encode
from kadapter.training.predict import predict
from tests import tiny

TASKS = {
    "relation": (tiny.relations, ["hates", "knows", "leads", "likes"]),
    "typing": (tiny.typings, ["artist", "person", "place"]),
}


@pytest.mark.parametrize("name", TASKS)
def test_an_asked_sentence_is_answered_as_in_the_dataset(tiny_folder, name):
    make, labels = TASKS[name]
    data, tokenizer = make(8), load_tokenizer(tiny_folder)
    model = KnowledgeModel(Backbone(tiny_folder), task=catalog.task(name, labels=labels))
    if name == "relation":
        mentions = [
            [[r["subj_start"], r["subj_end"], "subject"], [r["obj_start"], r["obj_end"], "object"]] for r in data
        ]
    else:
        mentions = [[[r["start"], r["end"], "mention"]] for r in data]
    marked = [Case(0, "", r["text"], m, [], {}).marked() for r, m in zip(data, mentions, strict=True)]
    expected = np.stack(predict(model, encode(model.task, tokenizer, data)).outputs)
    np.testing.assert_allclose(logits(model, tokenizer, marked).numpy(), expected, rtol=1e-4, atol=1e-5)
    table = ask(model, tokenizer, marked[:1], k=2)
    top = np.argsort(-expected[0])[:2]
    assert table["label"].tolist() == [labels[i] for i in top]
    assert table["logit"].tolist() == pytest.approx(expected[0][top].tolist(), abs=1e-4)
    chance = 1 / (1 + np.exp(-expected[0])) if name == "typing" else np.exp(expected[0]) / np.exp(expected[0]).sum()
    assert table["probability"].tolist() == pytest.approx(chance[top].tolist(), abs=1e-5)


plain = st.text("ab <é", min_size=1, max_size=6)


@given(before=plain, subject=plain, between=plain, thing=plain, after=plain)
def test_brackets_give_text_and_offsets(before, subject, between, thing, after):
    text, mentions = read_marked(f"{before}[{subject}]{between}{{{thing}}}{after}")
    assert text == before + subject + between + thing + after
    (a, b), (c, d) = mentions["subject"], mentions["object"]
    assert text[a:b] == subject and text[c:d] == thing and c == len(before + subject + between)


@pytest.mark.parametrize(
    ("marked", "message"),
    [
        ("[a [b] c", "a second '\\['"),
        ("a] b", "closes nothing"),
        ("[a b", "the subject's bracket is never closed"),
        ("[] b", "the subject is empty"),
        ("a b", r"needs the subject in \[...\]"),
        ("[a] b", r"needs the object in \{...\}"),
    ],
)
def test_bracket_mistakes_are_one_sentence(tiny_folder, marked, message):
    model = KnowledgeModel(Backbone(tiny_folder), task=catalog.task("relation", labels=["x", "y"]))
    with pytest.raises(KAdapterError, match=message):
        ask(model, load_tokenizer(tiny_folder), [marked])


def test_a_model_without_labels_cannot_be_asked(tiny_folder):
    with pytest.raises(KAdapterError, match="only a model with a classification head"):
        ask(KnowledgeModel(Backbone(tiny_folder)), load_tokenizer(tiny_folder), ["[a]"])
