"""The sizes of a knowledge adapter, as they stand in presets and in `adapter_config.json`. Needs no torch, so that a
misspelt one is refused at once."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

from kadapter import values
from kadapter.errors import KAdapterError
from kadapter.values import OneOf, value

if TYPE_CHECKING:
    from kadapter.model.backbone import Backbone

COMBINE = ("add", "concat")
NORMALIZE = ("none", "rms")
ACTIVATIONS = (  # of transformers.activations.ACT2FN; a test compares them
    *("gelu", "gelu_10", "gelu_accurate", "gelu_fast", "gelu_new", "gelu_python", "gelu_python_tanh"),
    *("gelu_pytorch_tanh", "hardswish", "laplace", "leaky_relu", "linear", "mish", "prelu", "quick_gelu", "relu"),
    *("relu2", "relu6", "sigmoid", "silu", "sqrtsoftplus", "swish", "tanh", "xielu"),
)
MOST_LAYERS, MOST_PARAMETERS = 2_048, 10**10  # what a mistake in a file may make us build

StateIndex = Annotated[int, value("index into the backbone's hidden states", 0, 1_000)]


@values.told
@dataclass(frozen=True)
class AdapterConfig:
    """Sizes of a knowledge adapter. The defaults are the paper's for RoBERTa-large (Section 3.1 and the official
    scripts).

    To add one, add a field here: what reads, checks, saves and documents sizes follows.
    """

    hidden_size: Annotated[int, value("width of the backbone's states", 1, 65_536)]
    plug_layers: Annotated[
        tuple[StateIndex, ...],
        value(
            "indices into the backbone's `hidden_states`, one adapter layer each, ascending; 0 is the embedding output",
            least=1,
            strict=False,
        ),
    ] = (0, 11, 22)
    width: Annotated[int, value("width of the inner transformer layers", 1, 65_536)] = 768
    layers: Annotated[int, value("transformer layers in each adapter layer (the paper's N)", 1, 128)] = 2
    heads: Annotated[int, value("attention heads; divides `width`", 1, 1_024)] = 12
    inner: Annotated[int, value("width of the feed-forward part", 1, 262_144)] = 3072
    activation: Annotated[str, OneOf("activation", ACTIVATIONS), value("of the feed-forward part")] = "gelu"
    dropout: Annotated[float, value("in the transformer layers", 0.0, below=1.0)] = 0.1
    layer_norm_eps: Annotated[float, value("of the layer norms", above=0.0, high=1.0)] = 1e-5
    init_std: Annotated[
        float,
        value(
            "standard deviation of the projections' initial weights; their biases start at 0, and the transformer "
            "layers keep torch's own initialisation, as published",
            0.0,
            10.0,
        ),
    ] = 2e-4
    combine: Annotated[
        str,
        OneOf("combine", COMBINE),
        value(
            "how the backbone's state h and the former output a are one input: `concat` (the paper: the "
            "down-projection reads [h ; a]) or `add` (the official code: h + a); in both, the skip connection carries "
            "h + a"
        ),
    ] = "concat"
    mask_padding: Annotated[bool, value("no lets padding be attended to, as the official code does")] = True
    causal: Annotated[
        bool, value("a token attends to itself and those before it alone; `for_backbone` does as the backbone does")
    ] = False
    normalize: Annotated[
        str,
        OneOf("normalize", NORMALIZE),
        value(
            "how the backbone's states are read: as they are (`none`: the paper, and models whose layers end in a "
            "norm), or divided by their root mean square (`rms`: decoders that normalise before each layer carry "
            "activations of thousands at the first token); `for_backbone` takes `rms` for a causal backbone"
        ),
    ] = "none"

    def __post_init__(self) -> None:
        values.check(type(self), vars(self), noun="adapter setting")
        if self.width % self.heads:
            raise KAdapterError(f"adapter width {self.width} is not a multiple of its {self.heads} attention heads")
        if list(self.plug_layers) != sorted(set(self.plug_layers)):
            raise KAdapterError(
                f"plug_layers {list(self.plug_layers)}: expected at least one index, ascending, none twice"
            )
        layers, parameters = len(self.plug_layers) * self.layers, self.parameters
        if layers > MOST_LAYERS or parameters > MOST_PARAMETERS:
            raise KAdapterError(
                f"an adapter of {layers:,} transformer layers and {parameters:,} parameters: "
                f"expected at most {MOST_LAYERS:,} and {MOST_PARAMETERS:,}"
            )

    @property
    def parameters(self) -> int:
        """About how many parameters an adapter of these sizes has: its matrices, without biases and norms."""
        w = self.width
        return len(self.plug_layers) * (2 * self.hidden_size * w + self.layers * (4 * w * w + 2 * w * self.inner))

    @classmethod
    def for_backbone(cls, backbone: "Backbone", **sizes) -> "AdapterConfig":
        """Sizes that scale with a backbone; for RoBERTa-large they are the published ones.

        Plug layers are the first, the middle and the last but one; the width is three quarters of the hidden size in
        whole heads of 64 (one head below that); the feed-forward part is four times as wide. Beside a causal backbone
        an adapter is causal, too, and reads normalised states. `sizes` override, and what follows from a width follows
        from the given one. Raises KAdapterError for a plug layer that the backbone does
        not have.
        """
        known = values.check(cls, sizes | {"hidden_size": backbone.hidden_size}, noun="adapter setting")
        width = known.get("width", _in_heads(backbone.hidden_size * 3 // 4))
        defaults = {
            "plug_layers": default_plug_layers(backbone.depth),
            "width": width,
            "heads": width // 64 if width % 64 == 0 else 1,
            "inner": 4 * width,
            "causal": backbone.causal,
            "normalize": "rms" if backbone.causal else "none",
        }
        config = cls.from_dict(defaults | known)
        backbone.check_state_indices(config.plug_layers)
        return config

    @classmethod
    def from_dict(cls, sizes: Mapping[str, Any]) -> "AdapterConfig":
        """A configuration from plain values. Raises KAdapterError for what is no size or out of range."""
        return cls(**values.check(cls, sizes, noun="adapter setting"))

    def to_dict(self) -> dict:
        """Plain values, as they stand in adapter_config.json."""
        return asdict(self) | {"plug_layers": list(self.plug_layers)}


def _in_heads(width: int) -> int:
    """A width as whole heads of 64, if it holds one."""
    return width // 64 * 64 if width >= 64 else max(1, width)


def default_plug_layers(depth: int) -> list[int]:
    """First, middle and last but one of `depth` layers: 0, 11, 22 of 24 would be the official ones scaled down."""
    return sorted({0, max(0, depth // 2 - 1), max(0, depth - 2)})
