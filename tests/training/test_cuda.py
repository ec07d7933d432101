"""What only a GPU shows; skipped without one. `make gpu` runs it."""

import pytest
import torch
from transformers import TrainerCallback

from kadapter import catalog
from kadapter.model.adapter import build_adapter
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.training.batches import encode
from kadapter.training.fit import fit
from kadapter.training.predict import predict
from kadapter.training.settings import Settings
from tests import tiny

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")


def build(folder):
    task = catalog.task("relation", labels=["hates", "knows", "leads", "likes"], max_length=32, pooling="mean")
    model = KnowledgeModel(Backbone(folder), adapters={"F": build_adapter(tiny.sizes(dropout=0.0))}, task=task)
    return model, encode(task, load_tokenizer(folder), tiny.relations())


class NoWaiting(TrainerCallback):
    """An error for whatever waits for the GPU between the beginning and the end of a step, but for the first."""

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step:
            torch.cuda.set_sync_debug_mode("error")

    def on_step_end(self, args, state, control, **kwargs):
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize(
    ("regime", "store"), [("adapter", True), ("adapter", False), ("frozen", True), ("full", False)]
)
def test_no_step_waits_for_the_gpu(tiny_folder, tmp_path, regime, store):
    model, encoded = build(tiny_folder)
    settings = Settings(regime=regime, store=store, epochs=2, batch_size=8)
    try:
        fitted = fit(model, encoded, None, settings, tmp_path, False, False, tmp_path, callbacks=[NoWaiting()])
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len([entry for entry in fitted.history if "loss" in entry]) == 2


def test_a_gpu_answers_as_the_processor_does(tiny_folder):
    model, encoded = build(tiny_folder)
    here = torch.tensor(predict(model, encoded).loss)
    there = torch.tensor(predict(model.to("cuda"), encoded).loss)
    assert torch.allclose(here, there, atol=1e-4)
