"""One training in several processes: every example in one of them, once an epoch; the same model as in one process."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kadapter import catalog
from kadapter.errors import KAdapterError
from kadapter.model.adapter import build_adapter
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.training.batches import LengthBatches, encode
from kadapter.training.fit import fit
from kadapter.training.parallel import Parts
from kadapter.training.predict import predict
from kadapter.training.settings import Settings
from tests import tiny


@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=60),
    world=st.integers(1, 5),
    size=st.integers(1, 9),
    tokens=st.sampled_from([0, 64, 200]),
    epoch=st.integers(0, 3),
)
def test_every_example_is_in_one_process_once_an_epoch(lengths, world, size, tokens, epoch):
    def order():
        made = LengthBatches(np.array(lengths), size, seed=1, tokens=tokens)
        made.set_epoch(epoch)
        return made

    whole = list(order())
    parts = [list(Parts(order(), rank, world)) for rank in range(world)]
    assert {len(each) for each in parts} == {len(whole)}, "all take part in every step"
    seen = [example for each in parts for part in each if part.scale for example in part]
    assert sorted(seen) == list(range(len(lengths)))
    for step, batch in enumerate(whole):
        own = [each[step] for each in parts]
        assert sum(part.scale for part in own) == pytest.approx(world)
        # The mean over processes of scaled means is the mean over the batch.
        mean = sum(part.scale * np.mean([lengths[i] for i in part]) for part in own) / world
        assert mean == pytest.approx(np.mean([lengths[i] for i in batch]))
        sizes = [len(part) for part in own if part.scale]
        assert max(sizes) - min(sizes) <= 1


def test_two_processes_train_the_model_that_one_trains(tiny_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("kadapter.machine.threads.available", lambda: 2)
    monkeypatch.setenv("KADAPTER_THREADS", "1")

    def trained(devices):
        torch.manual_seed(0)
        task = catalog.task("relation", labels=["hates", "knows", "leads", "likes"], max_length=32, pooling="mean")
        adapter = build_adapter(tiny.sizes(dropout=0.0))
        model = KnowledgeModel(Backbone(tiny_folder), adapters={"F": adapter}, task=task)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0  # processes draw other numbers
        encoded = encode(task, load_tokenizer(tiny_folder), tiny.relations(39))
        settings = Settings(bf16=False, batch_tokens=70, learning_rate=2e-3, epochs=3, devices=devices)
        fitted = fit(model, encoded, encoded, settings, tmp_path / str(devices), progress=False, cache=tmp_path)
        return model, fitted, np.concatenate(predict(model, encoded).outputs)

    model, one, outputs = trained(1)
    other, two, others = trained(2)
    assert two.best_epoch == one.best_epoch and len(two.history) == len(one.history)
    losses = [[entry["loss"] for entry in each.history if "loss" in entry] for each in (one, two)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3) and losses[0][-1] < losses[0][0]
    assert np.allclose(outputs, others, atol=5e-3)
    names = [name for name, p in other.named_parameters() if p.requires_grad]
    assert names == [name for name, p in model.named_parameters() if p.requires_grad]
    with pytest.raises(KAdapterError, match=r"devices: found 8; this machine has \d+ (cores and no GPU|GPUs)"):
        trained(8)
