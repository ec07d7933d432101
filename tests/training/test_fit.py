"""fit(): it learns, it is reproducible, it resumes, it chooses on dev; predictions do not depend on batches."""

import inspect

import numpy as np
import pytest
import torch
from transformers import TrainerCallback

from kadapter import catalog
from kadapter.errors import KAdapterError
from kadapter.model.adapter import build_adapter
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.training import fit as fit_module
from kadapter.training.batches import encode
from kadapter.training.fit import fit
from kadapter.training.predict import predict
from kadapter.training.settings import Settings
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
    half = tmp_path / "cut" / "checkpoints" / "checkpoint-999"  # a kill while it was written
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    again = fit(resumed, encoded, encoded, settings, tmp_path / "cut", resume=True, progress=False, cache=tmp_path)
    assert again.best == pytest.approx(whole.best, rel=1e-4) and again.best_epoch == whole.best_epoch
    for (name, a), (_, b) in zip(model.named_parameters(), resumed.named_parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")
    with pytest.raises(KAdapterError, match="holds no checkpoint to resume from"):
        fit(resumed, encoded, None, settings, tmp_path / "nothing", resume=True, progress=False)


def test_resume_within_an_epoch_ends_where_an_uninterrupted_run_ends(tiny_folder, tmp_path):
    settings = Settings(epochs=3, checkpoints=True, checkpoint_minutes=1e-6, select="last", **FAST)
    model, encoded = build(tiny_folder, dropout=0.0)
    whole = fit(model, encoded, encoded, settings, tmp_path / "whole", progress=False, cache=tmp_path)

    class Stop(TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            if state.global_step == 7:  # of 15, in the middle of the second epoch
                raise InterruptedError

    other, _ = build(tiny_folder, dropout=0.0)
    with pytest.raises(InterruptedError):
        fit(other, encoded, encoded, settings, tmp_path / "cut", False, False, tmp_path, callbacks=[Stop()])
    assert [path.name for path in (tmp_path / "cut" / "checkpoints").iterdir()] == ["checkpoint-7"]
    resumed, _ = build(tiny_folder, dropout=0.0)
    again = fit(resumed, encoded, encoded, settings, tmp_path / "cut", resume=True, progress=False, cache=tmp_path)
    assert again.best == pytest.approx(whole.best, rel=1e-4)
    for (name, a), (_, b) in zip(model.named_parameters(), resumed.named_parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


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
        ({"bf16": "yes"}, "training setting bf16: found 'yes'; expected yes or no or 'auto'"),
        ({"epochs": 0}, "training setting epochs: found 0; expected a whole number from 1 to 100,000"),
        ({"select": "worst"}, "training setting select: found 'worst'; expected 'best' or 'last'"),
        ({"regime": "adaptr"}, "unknown regime 'adaptr': did you mean 'adapter'"),
        ({"batch_size": 2**40}, "batch_size: found .*; expected a whole number from 1 to 65,536"),
        ({"batch_tokens": -7}, "batch_tokens: found -7; expected a whole number from 0 to"),
        ({"weight_decay": -5}, "weight_decay: found -5; expected a number from 0 to 1"),
        ({"learning_rate": 0}, "learning_rate: found 0; expected a number above 0"),
        ({"learning_rate": float("nan")}, "learning_rate: found nan; expected a number above 0"),
        ({"head_rate": -1}, "head_rate: found -1; expected a number above 0 and up to"),
        ({"warmup_ratio": -1}, "warmup_ratio: found -1; expected a number from 0 to 1"),
        ({"warmup_steps": 0.5}, "warmup_steps: found 0.5; expected a whole number"),
        ({"gradient_accumulation": 0}, "gradient_accumulation: found 0; expected a whole number"),
        ({"checkpoints": "no"}, "checkpoints: found 'no'; expected yes or no"),
        ({"seed": 2**63}, "seed: found 9223372036854775808; expected a whole number from 0 to 4,294,967,295"),
    ],
)
def test_bad_settings_are_refused(values, message):
    with pytest.raises(KAdapterError, match=message):
        Settings.from_dict(values)


def test_fit_takes_what_fit_together_takes():
    """Said once: the signature and the docstring that an IDE or Shift-Tab shows are those of `fit_together`."""
    one, several = (inspect.signature(f).parameters for f in (fit, fit_module.fit_together))
    assert list(one)[0] == "model" and list(one.values())[1:] == list(several.values())[1:]
    told = inspect.getdoc(fit)
    assert all(f"    {name}: " in told for name in one) and "fit_together" in told


@pytest.mark.parametrize("regime", ["frozen", "adapter"])
@pytest.mark.parametrize("dev", [True, False])
def test_a_fit_that_diverges_stops_with_one_sentence(tiny_folder, tmp_path, regime, dev):
    model, encoded = build(tiny_folder)
    settings = Settings(regime=regime, epochs=2, **FAST | {"learning_rate": 1e30})
    message = (
        r"the fit diverged: its (loss|gradient norm|weight \S+|dev output) is (nan|inf) at step \d+ of \d+ "
        r"\(epoch \d\.\d\), learning_rate 1e\+30: lower learning_rate"
    )
    with pytest.raises(KAdapterError, match=message) as error:
        fit(model, encoded, encoded if dev else None, settings, tmp_path, progress=False, cache=tmp_path)
    assert "\n" not in str(error.value)


def test_of_several_the_one_that_diverged_is_named(tiny_folder, tmp_path):
    good, encoded = build(tiny_folder)
    bad, _ = build(tiny_folder)
    bad = KnowledgeModel(good.backbone, adapters=dict(bad.adapters.items()), task=bad.task)
    with torch.no_grad():
        next(bad.head.parameters()).fill_(float("inf"))
    with pytest.raises(KAdapterError, match="the fit of model 'bad' diverged: its loss is nan at step"):
        fit_module.fit_together(
            {"good": good, "bad": bad}, encoded, None, Settings(regime="frozen", epochs=1, **FAST), tmp_path, False
        )


def test_a_model_without_a_head_cannot_be_trained(tiny_folder, tmp_path):
    _, encoded = build(tiny_folder)
    with pytest.raises(KAdapterError, match="the model has no head to train"):
        fit(KnowledgeModel(Backbone(tiny_folder)), encoded, None, Settings(), tmp_path)
