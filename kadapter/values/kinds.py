"""What an annotation says of a value: its kind, range and meaning."""

import functools
import inspect
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Annotated, Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, create_model
from pydantic_core import PydanticCustomError, core_schema


class Values(BaseModel):
    """Named values: exactly these keys, no type bent into another, every number finite."""

    model_config = ConfigDict(
        strict=True, extra="forbid", allow_inf_nan=False, protected_namespaces=(), arbitrary_types_allowed=True
    )


def value(
    meaning: str,
    low: int | float | None = None,
    high: int | float | None = None,
    *,
    above: int | float | None = None,
    below: int | float | None = None,
    least: int | None = None,
    **more: Any,
) -> Any:
    """What an annotation says of a value.

    Args:
        meaning: half a sentence for the reference page.
        low, high: the range, both ends in it; `above` and `below` leave their end out.
        least: the fewest entries of a list or mapping.
        more: as for `pydantic.Field`.
    """
    return Field(description=meaning, ge=low, le=high, gt=above, lt=below, min_length=least, **more)


@dataclass(frozen=True)
class OneOf:
    """Text that is one of some names, which may grow while the program runs (the catalog's do).

    Attributes:
        kind: what an unknown one is called: `unknown KIND 'x': did you mean 'y'?`
    """

    kind: str
    names: Collection[str]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(self._known, handler(source))

    def _known(self, name: str) -> str:
        if name not in self.names:
            raise PydanticCustomError("one_of", "unknown name")
        return name


@dataclass(frozen=True)
class Like:
    """A mapping of the values that a dataclass or function takes (see `of`)."""

    source: type | Callable
    leave_out: tuple[str, ...] = ()

    @property
    def model(self) -> type[Values]:
        """The pydantic model that checks these values."""
        return of(self.source, self.leave_out)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return handler.generate_schema(self.model)


@dataclass(frozen=True)
class Words:
    """How what is expected is said, where type and range do not say it."""

    text: str


# Names that become names of folders and files: they must not lead out of the folder that they are put in.
FILE_NAME = r"^[\w][\w.+ -]{0,99}$"
Name = Annotated[
    str,
    Field(pattern=FILE_NAME),
    Words("a name of at most 100 letters, digits, spaces, _, -, + and ., the first a letter, a digit or _"),
]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]  # numpy takes no more than 32 bits
MaxLength = Annotated[
    int, value("longest input in sub-word tokens, special tokens included; longer ones are cut", 8, 16_384)
]


def extended(source: type[Values], **more: Any) -> type[Values]:
    """Values with more of them: name -> (annotation, default)."""
    return create_model(source.__name__, __base__=source, **more)


@functools.cache
def of(source: type | Callable, leave_out: tuple[str, ...] = ()) -> type[Values]:
    """The values that a dataclass or a function takes, as its annotations say; those without one take anything."""
    if isinstance(source, type) and issubclass(source, Values):
        return source
    function = vars(source).get("__init__", source) if isinstance(source, type) else source
    parameters = list(inspect.signature(function).parameters.values())
    hints = get_type_hints(source if hasattr(source, "__dataclass_fields__") else function, include_extras=True)
    taken: Any = {
        p.name: (hints.get(p.name, Any), ... if p.default is p.empty else p.default)
        for p in parameters
        if p.name != "self" and p.kind is not p.VAR_KEYWORD and p.name not in leave_out
    }
    return create_model(getattr(source, "__qualname__", "Values"), __base__=Values, **taken)
