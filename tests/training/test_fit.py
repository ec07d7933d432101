"""fit(): it learns, it is reproducible, it resumes, it chooses on dev; predictions do not depend on batches."""

import numpy as np
import pytest
import torch

from kadapter import catalog
from kadapter.errors import KAdapterError
from kadapter.model.adapter import build_adapter
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.training.batches import encode
from kadapter.training.fit import Settings, fit
from kadapter.training.predict import predict
from tests import tiny

TASKS = {
    "relation": (tiny.relations, ["hates", "knows", "leads", "likes"]),
    "typing": (tiny.typings, ["artist", "person", "place"]),
    "dependency": (tiny.trees, []),
}
FAST = {"bf16": False, "batch_size": 8, "learning_rate": 5e-3}


def build(folder, name="relation", **sizes):
    make, labels = TASKS[name]
    pooling = {} if name == "dependency" else {"pooling": "mean"}  # markers of a random BERT are learned by luck
    task = catalog.task(name, labels=labels, max_length=32, **pooling)
    model = KnowledgeModel(Backbone(folder), adapters={"F": build_adapter(tiny.sizes(**sizes))}, task=task)
    return model, encode(task, load_tokenizer(folder), make())


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("regime", ["adapter", "full"])
def test_every_task_is_learned(tiny_folder, tmp_path, name, regime):
    model, encoded = build(tiny_folder, name, dropout=0.0)  # with it, so few examples are learned by luck
    before = predict(model, encoded).loss
    # An adapter beside a random BERT needs many steps; the whole BERT smaller ones.
    epochs, rate = (80, 1e-2) if regime == "adapter" else (25, 1e-3)
    settings = Settings(regime=regime, epochs=epochs, **FAST | {"learning_rate": rate})
    fitted = fit(model, encoded, encoded, settings, tmp_path, progress=False, cache=tmp_path)
    after = predict(model, encoded)
    assert after.loss < 0.5 * before
    score = after.scores[after.metric.primary]
    assert score > 0.9 and score == pytest.approx(fitted.best[f"eval_{after.metric.primary}"])


def test_same_seed_same_result(tiny_folder, tmp_path):
    def train(seed):
        model, encoded = build(tiny_folder)
        fit(model, encoded, encoded, Settings(epochs=2, seed=seed, **FAST), tmp_path, progress=False, cache=tmp_path)
        return np.stack(predict(model, encoded).outputs)

    first = train(1)
    assert np.array_equal(first, train(1))
    assert not np.array_equal(first, train(2))


def test_resume_ends_where_an_uninterrupted_run_ends(tiny_folder, tmp_path, monkeypatch):
    import kadapter.training.trainer as training

    settings = Settings(epochs=4, checkpoints=True, select="best", **FAST)
    model, encoded = build(tiny_folder)
    whole = fit(model, encoded, encoded, settings, tmp_path / "whole", progress=False, cache=tmp_path)

    class Stop(Exception):
        pass

    original = training.predict
    calls = []

    def interrupted(*args, **kwargs):
        calls.append(1)
        if len(calls) == 3:
            raise Stop
        return original(*args, **kwargs)

    other, _ = build(tiny_folder)
    monkeypatch.setattr(training, "predict", interrupted)
    with pytest.raises(Stop):
        fit(other, encoded, encoded, settings, tmp_path / "cut", progress=False, cache=tmp_path)
    monkeypatch.setattr(training, "predict", original)
    resumed, _ = build(tiny_folder)
    again = fit(resumed, encoded, encoded, settings, tmp_path / "cut", resume=True, progress=False, cache=tmp_path)
    assert again.best == pytest.approx(whole.best, rel=1e-4) and again.best_epoch == whole.best_epoch
    for (name, a), (_, b) in zip(model.named_parameters(), resumed.named_parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")
    with pytest.raises(KAdapterError, match="holds no checkpoint to resume from"):
        fit(resumed, encoded, None, settings, tmp_path / "nothing", resume=True, progress=False)


def test_the_best_epoch_on_dev_is_kept(tiny_folder, tmp_path):
    model, encoded = build(tiny_folder)
    # A rate this high ruins the weights sooner or later; the best epoch's must be back at the end.
    settings = Settings(epochs=8, bf16=False, batch_size=4, learning_rate=0.3)
    fitted = fit(model, encoded, encoded, settings, tmp_path, progress=False, cache=tmp_path)
    epochs = [h["eval_f1"] for h in fitted.history if "eval_f1" in h]
    assert len(epochs) == 8 and fitted.best["eval_f1"] == max(epochs)
    assert predict(model, encoded).scores["f1"] == pytest.approx(max(epochs))


def test_bf16_learns_too_and_leaves_the_model_in_float32(tiny_folder, tmp_path):
    model, encoded = build(tiny_folder)
    settings = Settings(epochs=80, **FAST | {"bf16": True, "learning_rate": 1e-2})
    fit(model, encoded, None, settings, tmp_path, progress=False, cache=tmp_path)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert predict(model, encoded).scores["f1"] > 0.9
    assert model(**encoded.__getitems__([0])).logits.dtype == torch.float32  # no autocast is left behind


def test_predictions_do_not_depend_on_batches(tiny_folder):
    for name in TASKS:
        model, encoded = build(tiny_folder, name)
        one, many = predict(model, encoded, batch_tokens=1), predict(model, encoded, batch_tokens=100_000)
        assert one.scores == pytest.approx(many.scores) and one.loss == pytest.approx(many.loss, rel=1e-4)
        for a, b in zip(one.outputs, many.outputs, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
        assert one.counts.shape[0] == len(encoded)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"learning_rat": 1}, "unknown training setting 'learning_rat': did you mean 'learning_rate'"),
        ({"bf16": "yes"}, r"training setting bf16: found 'yes'; expected one of \['auto', True, False\]"),
        ({"epochs": 0}, "training setting epochs: found 0; expected a number above 0"),
        ({"select": "worst"}, "training setting select: found 'worst'"),
    ],
)
def test_bad_settings_are_refused(values, message):
    with pytest.raises(KAdapterError, match=message):
        Settings.from_dict(values)


def test_a_model_without_a_head_cannot_be_trained(tiny_folder, tmp_path):
    _, encoded = build(tiny_folder)
    with pytest.raises(KAdapterError, match="the model has no head to train"):
        fit(KnowledgeModel(Backbone(tiny_folder)), encoded, None, Settings(), tmp_path)
