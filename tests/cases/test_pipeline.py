"""Answers from the top level: strings, lists and data frames give what the model gives for the same examples."""

import numpy as np
import pandas as pd
import pytest

import kadapter
from kadapter import catalog, runs
from kadapter.cases.inference import logits, probabilities
from kadapter.cases.pipeline import COLUMNS
from kadapter.errors import KAdapterError
from kadapter.model.adapter import build_adapter
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.model.knowledge_model import KnowledgeModel
from tests import tiny

LABELS = ["hates", "knows", "leads", "likes"]
SENTENCES = ["[Person1] leads {Thing2} .", "[Ada] likes {tea} very much .", "[Bo] knows {Thing1} ."]


@pytest.fixture(scope="module")
def model(tiny_folder):
    adapters = {"F": build_adapter(tiny.sizes(), seed=1)}
    return KnowledgeModel(Backbone(tiny_folder), adapters=adapters, task=catalog.task("relation", labels=LABELS))


def test_strings_lists_and_frames_give_the_models_logits(model, tiny_folder):
    wanted = logits(model, load_tokenizer(tiny_folder), SENTENCES).numpy()
    found = model.predict(SENTENCES, k=None)
    assert tuple(found.columns) == COLUMNS and len(found) == len(SENTENCES) * len(LABELS)
    for number, (_, own) in enumerate(found.groupby(level=0)):
        order = np.argsort(-wanted[number])
        assert own["label"].tolist() == [LABELS[i] for i in order] and own["rank"].tolist() == [1, 2, 3, 4]
        assert own["logit"].tolist() == pytest.approx(wanted[number][order].tolist(), abs=1e-4)
        assert own["answered"].tolist() == [True, False, False, False]
        chances = probabilities(wanted[number], independent=False)[order]
        assert own["probability"].tolist() == pytest.approx(chances.tolist(), abs=1e-5)
    one = model.predict(SENTENCES[0])
    assert one["label"].tolist() == [LABELS[int(wanted[0].argmax())]] and one["sentence"].tolist() == SENTENCES[:1]
    frame = pd.DataFrame({"sentence": SENTENCES, "mine": [1, 2, 3]}, index=[7, 8, 9])
    joined = frame.drop(columns="sentence").join(model.predict(frame))
    assert joined.index.tolist() == [7, 8, 9] and joined["sentence"].tolist() == SENTENCES
    data = tiny.relations(6)
    told = model.predict(data)  # texts with offsets, as a dataset and as a data frame
    pd.testing.assert_frame_equal(told, model.predict(data.to_pandas()))
    assert told["sentence"].iloc[0].startswith("[Person0] likes {Thing0}")
    assert model.predict([]).empty


def test_a_typing_model_answers_every_label_above_the_threshold(tiny_folder):
    task = catalog.task("typing", labels=["artist", "person", "place"])
    model = KnowledgeModel(Backbone(tiny_folder), task=task, seed=2)
    data = tiny.typings(8)
    found = model.predict(data.to_pandas()[["text", "start", "end"]], k=None)
    assert (found["answered"] == (found["logit"] > 0)).all() and (
        found["answered"] == (found["probability"] > 0.5)
    ).all()


def test_an_unplugged_adapter_changes_the_answer_and_the_mode_is_left_alone(model):
    before = model.predict(SENTENCES)["logit"]
    model.train()
    with model.only():
        assert not np.allclose(model.predict(SENTENCES)["logit"], before)
    assert model.training
    model.eval()
    assert model.predict(SENTENCES)["logit"].tolist() == pytest.approx(before.tolist(), abs=1e-5)


def test_the_pipeline_answers_as_hugging_faces_does(model, tmp_path):
    """One sentence: a list of its labels. Several: the best of each, or a list for each."""
    answer = kadapter.pipeline("relation", model)
    found = model.predict(SENTENCES, k=2)
    (best,) = answer(SENTENCES[0])
    assert best == {"label": found["label"].iloc[0], "score": pytest.approx(found["probability"].iloc[0], abs=1e-6)}
    assert [each["label"] for each in answer(SENTENCES)] == found["label"].iloc[::2].tolist()
    pairs = answer(SENTENCES, top_k=2)
    assert [[each["label"] for each in own] for own in pairs] == found["label"].to_numpy().reshape(3, 2).tolist()
    assert len(answer(SENTENCES[0], top_k=None)) == 4 and len(answer(SENTENCES, top_k=9)[0]) == 4
    assert sum(each["score"] for each in answer(SENTENCES[0], top_k=None)) == pytest.approx(1)
    assert answer([]) == [] and "relation, 4 labels, adapters ['F']" in repr(answer)


def test_a_folder_and_a_run_are_loaded(model, tmp_path):
    saved = model.save_pretrained(tmp_path / "saved")
    expected = kadapter.pipeline("relation", model)(SENTENCES, top_k=3)
    run = runs.begin(tmp_path / "runs/p/finetune/x", stage="finetune", name="x", parameters={})
    model.save_pretrained(run.path("model"))
    for source in (saved, str(saved), run.finish(metrics={})):
        found = kadapter.pipeline("relation", source)(SENTENCES, top_k=3)
        for own, wanted in zip(found, expected, strict=True):
            assert [each["label"] for each in own] == [each["label"] for each in wanted]
            assert [each["score"] for each in own] == pytest.approx([each["score"] for each in wanted], abs=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.predict("no brackets"), r"needs the subject in \[...\]"),
        (lambda m: m.predict(pd.DataFrame({"text": [3]})), "input 0 is 3; expected a sentence"),
        (lambda m: m.predict(pd.DataFrame({"x": [1]})), r"has columns \['x'\]; expected `sentence` or `text`"),
        (lambda m: kadapter.pipeline("typing", m), "answers 'relation', not 'typing'"),
        (
            lambda m: kadapter.pipeline("relation", KnowledgeModel(m.backbone)),
            "only a model with a classification head",
        ),
        (lambda m: KnowledgeModel(m.backbone).predict("[a]"), "only a model with a classification head"),
    ],
)
def test_mistakes_are_one_sentence(model, call, message):
    with pytest.raises(KAdapterError, match=message):
        call(model)
