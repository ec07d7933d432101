"""Which parts of a model train: stages differ only in that (Section 3 of the paper, and rows that stand beside it)."""

from kadapter.model.tuning_config import TUNINGS

# regime -> the parts that train; of the backbone all weights (`backbone`), or what a kind of tuning is about
REGIMES: dict[str, frozenset[str]] = {
    "adapter": frozenset({"adapters", "fusion", "head"}),  # pre-training a knowledge adapter
    "paper": frozenset({"backbone", "fusion", "head"}),  # fine-tuning as published: adapters fixed
    "frozen": frozenset({"fusion", "head"}),  # what a representation already knows
    "full": frozenset({"backbone", "adapters", "fusion", "head"}),
    "mapping": frozenset({"mapping"}),  # map-tuning: what a frozen model reads of entities
    "houlsby": frozenset({"houlsby", "fusion", "head"}),  # bottlenecks in the backbone
    "lora": frozenset({"lora", "fusion", "head"}),  # low-rank matrices in the backbone
    "bitfit": frozenset({"bitfit", "fusion", "head"}),  # the backbone's biases
}
PARTS = ("mapping", "backbone", "adapters", "fusion", "head")


def tunings_of(regime: str) -> list[str]:
    """How a regime tunes the backbone itself (`kadapter.model.tuning`); [] where it is frozen."""
    parts = {"full" if part == "backbone" else part for part in REGIMES[regime]}
    return [kind for kind in TUNINGS if kind in parts]
