"""How well each plugged adapter alone serves a task, before a fusion that chooses among them has learned anything.

The measure is the prequential code length (Dawid, 1984; online coding in Voita and Titov, 2020): a new head sees the
training examples once, and every batch is scored before it is learned from, so that no example is known by heart when
it is asked.
"""

from dataclasses import replace
from pathlib import Path

from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.training.batches import Encoded
from kadapter.training.fit import fit_together
from kadapter.training.settings import Settings

ALONE = 1e4  # a length that leaves an adapter no weight at all


def code_lengths(model: KnowledgeModel, train: Encoded, settings: Settings, out: Path) -> dict[str, float]:
    """Adapter name -> the loss of a new head, in nats, summed over the examples of one pass; backbone and adapters are
    frozen.

    Args:
        model: with two or more adapters and the fusion `gate`; not changed.
        train: encoded, its frozen part precomputed for this model or not.
        settings: of the fine-tuning.
        out: folder for what `fit_together` leaves.
    """
    adapters, task = dict(model.adapters.items()), model.require_task()
    alone = {}
    for name in adapters:
        alone[name] = KnowledgeModel(model.backbone, model.fusion.kind, adapters, task, settings.seed)
        alone[name].fusion.prefer([0.0 if other == name else ALONE for other in adapters])
    once = replace(
        settings, regime="frozen", epochs=1, select="last", adapter_dropout=0.0, checkpoints=False,
        checkpoint_minutes=0.0, devices=1,
    )  # fmt: skip
    fits = fit_together(alone, train, None, once, out, progress=False)
    return {name: fitted.history[0]["loss"] * len(train) for name, fitted in fits.items()}
