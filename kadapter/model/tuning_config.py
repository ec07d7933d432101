"""How a backbone itself can be tuned for a task, and the sizes of what that adds to it. Needs no torch, so that a
misspelt one is refused at once."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from kadapter import values
from kadapter.errors import unknown
from kadapter.model.config import ACTIVATIONS
from kadapter.values import OneOf, value

ROLES = ("query", "key", "value", "inner")

Role = Annotated[str, OneOf("target", ROLES)]


@dataclass(frozen=True)
class Full:
    """Every weight trains."""


@dataclass(frozen=True)
class BitFit:
    """Every bias trains (Ben Zaken et al., 2022)."""


@values.told
@dataclass(frozen=True)
class Houlsby:
    """A bottleneck with a skip connection on the output of every attention and feed-forward part, before it is added
    to their input (Houlsby et al., 2019)."""

    bottleneck: Annotated[int, value("width between its two linear layers", 1, 65_536)] = 32
    activation: Annotated[str, OneOf("activation", ACTIVATIONS), value("between them")] = "swish"
    init_std: Annotated[float, value("standard deviation of their initial weights, cut at twice that", 0.0, 10.0)] = (
        1e-2
    )


@values.told
@dataclass(frozen=True)
class LoRA:
    """A product of two narrow matrices beside some linear layers (Hu et al., 2022), by the library peft."""

    r: Annotated[int, value("rank: width of the two matrices", 1, 65_536)] = 32
    alpha: Annotated[int, value("their product is multiplied by alpha / r", 1, 65_536)] = 32
    dropout: Annotated[float, value("of what they read", 0.0, below=1.0)] = 0.0
    targets: Annotated[
        tuple[Role, ...],
        value(
            "the linear layers: `query`, `key` and `value` of attention, and `inner`, into the feed-forward part",
            least=1,
            strict=False,
        ),
    ] = ("query", "key", "inner")


Tuning = Full | Houlsby | LoRA | BitFit

# kind -> what it takes; each is a part of the backbone that can train (kadapter.model.regimes.REGIMES)
TUNINGS: dict[str, type[Tuning]] = {"full": Full, "houlsby": Houlsby, "lora": LoRA, "bitfit": BitFit}


def tuning(kind: str, options: Mapping[str, Any]) -> Tuning:
    """A kind of tuning with its options. Raises KAdapterError for an unknown kind or option, or one out of range."""
    if kind not in TUNINGS:
        raise unknown("tuning", kind, TUNINGS)
    return TUNINGS[kind](**values.check(TUNINGS[kind], options, noun=f"option of tuning {kind!r}"))


def to_dict(chosen: Tuning) -> dict[str, Any]:
    """Plain values, as they stand in model_config.json."""
    return {key: list(each) if isinstance(each, tuple) else each for key, each in asdict(chosen).items()}
