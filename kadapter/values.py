"""What a value may be. Type, range, default and meaning stand in one annotation, from which the check, its one sentence
and the reference page are made (`kadapter.cli.reference`):

    width: Annotated[int, value("width of the inner transformer layers", 1, 65_536)] = 768

pydantic reads the annotations and finds what is wrong; the sentence is ours, made from the same annotation.
"""

import functools
import inspect
import textwrap
import types
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, TypeAdapter, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError, core_schema

from kadapter.errors import KAdapterError, unknown


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
    function = source.__init__ if isinstance(source, type) else source
    parameters = list(inspect.signature(function).parameters.values())
    hints = get_type_hints(source if hasattr(source, "__dataclass_fields__") else function, include_extras=True)
    taken = {
        p.name: (hints.get(p.name, Any), ... if p.default is p.empty else p.default)
        for p in parameters
        if p.name != "self" and p.kind is not p.VAR_KEYWORD and p.name not in leave_out
    }
    return create_model(getattr(source, "__qualname__", "Values"), __base__=Values, **taken)


def check(
    source: type | Callable,
    values: Mapping[str, Any],
    *,
    noun: str = "key",
    where: str = "",
    at: str = "",
    leave_out: tuple[str, ...] = (),
) -> dict[str, Any]:
    """The given values of `source` (see `of`), a whole number made a real one where that is wanted.

    Args:
        noun: what a key is called: `unknown NOUN 'x'`.
        where: what the sentence begins with, as the file that the values come from.
        at: the dotted place of these values in it.
        leave_out: names that it takes, but not here.

    Raises KAdapterError for the first value that is unknown, missing, of another type or out of range: where it stands,
    what was found and what was expected.
    """
    model = of(source, leave_out)
    try:
        checked = model.model_validate(values)
    except ValidationError as error:
        raise KAdapterError(f"{where}{_sentence(model, _first(error), noun, at)}") from None
    return {name: getattr(checked, name) for name in checked.model_fields_set}


def checked(noun: str, leave_out: tuple[str, ...] = ()) -> Callable[[Callable], Callable]:
    """A function that checks what it is given by its annotations, before it is called."""

    def decorate(function: Callable) -> Callable:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def call(*args: Any, **named: Any) -> Any:
            given = signature.bind(*args, **named).arguments
            named_values = {name: v for name, v in given.items() if name not in ("self", *leave_out)}
            check(function, named_values, noun=noun, leave_out=leave_out)
            return function(*args, **named)

        return call

    return decorate


def check_value(annotation: Any, found: Any, where: str) -> Any:
    """One value by an annotation (as `Name`). Raises KAdapterError as `check` does."""
    try:
        return _adapter(annotation).validate_python(found, strict=True)
    except ValidationError as error:
        place, inner, metadata = _follow(annotation, _first(error)["loc"])
        raise KAdapterError(_found(f"{where}{place}", _first(error)["input"], inner, metadata)) from None


@functools.cache
def _adapter(annotation: Any) -> TypeAdapter:
    return TypeAdapter(annotation)


def told(cls: type) -> type:
    """A dataclass whose docstring tells its fields, as their annotations do."""
    lines = [f"{name} ({what}; {default or 'required'}): {about}." for name, what, default, about in fields(cls)]
    wrapped = [textwrap.fill(line, 112, initial_indent=" " * 8, subsequent_indent=" " * 12) for line in lines]
    cls.__doc__ = "\n".join([(cls.__doc__ or "").rstrip(), "", "    Attributes:", *wrapped, ""])
    return cls


def fields(source: type | Callable, leave_out: tuple[str, ...] = ()) -> Iterator[tuple[str, str, str, str]]:
    """Of every value: its name, what is expected, its default, its meaning."""
    for name, field in of(source, leave_out).model_fields.items():
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        null = " or null" if types.NoneType in get_args(field.annotation) else ""
        yield (
            field.alias or name,
            expected(field.annotation, field.metadata) + null,
            "" if default is None else said(default),
            field.description or "",
        )


def expected(annotation: Any, metadata: Collection[Any] = ()) -> str:
    """What an annotation expects, in words."""
    annotation, metadata = _bare(annotation, metadata)
    for each in metadata:
        if isinstance(each, Words):
            return each.text
        if isinstance(each, OneOf):
            return f"one of {', '.join(sorted(each.names))}" if len(each.names) > 1 else repr(*each.names)
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return " or ".join(expected(arg) for arg in args)
    if origin is Literal:
        return " or ".join(map(repr, args))
    least = f" of at least {_bounds(metadata)[MinLen]}" if MinLen in _bounds(metadata) else ""
    if origin in (list, tuple):
        return f"a list{least}" + ("" if args[0] is Any else f", each {expected(args[0])}")
    if origin is dict or _is_values(annotation) or annotation is dict:
        return f"a mapping{least}"
    names = {bool: "yes or no", str: "text", int: "a whole number", float: "a number", types.NoneType: "null"}
    return names.get(annotation, "anything") + _range(metadata)


def defaults(source: type | Callable) -> dict[str, Any]:
    """New copies of the defaults of the values that need not be given."""
    given = ((f.alias or name, f) for name, f in of(source).model_fields.items() if not f.is_required())
    return {name: field.get_default(call_default_factory=True) for name, field in given}


def said(found: Any, longest: int = 80) -> str:
    """A value as an error or a page shows it; cut where it is long."""
    shown = repr(found)
    return shown if len(shown) <= longest else shown[: longest - 3] + "..."


def _first(error: ValidationError) -> Any:
    """What is told of all that is wrong. A misspelt key is a missing one, too: the misspelt is told."""
    found = error.errors(include_url=False, include_context=False)
    return next((each for each in found if each["type"] == "extra_forbidden"), found[0])


def _sentence(model: type[Values], error: Mapping[str, Any], noun: str, at: str) -> str:
    if error["type"] not in ("extra_forbidden", "missing"):
        place, annotation, metadata = _follow(model, error["loc"], at)
        place = place if noun == "key" or "." in place else f"{noun} {place}"
        return _found(place, error["input"], annotation, metadata)
    *parent, key = error["loc"]
    place, annotation, _ = _follow(model, tuple(parent), at)
    if error["type"] == "missing":
        return f"{place or 'preset'}: the key {key!r} is missing"
    known = [field.alias or name for name, field in annotation.model_fields.items()]
    return str(unknown(f"{place} key" if place else noun, key, known))


def _found(place: str, found: Any, annotation: Any, metadata: Collection[Any]) -> str:
    for each in metadata:
        if isinstance(each, OneOf) and isinstance(found, str) and len(each.names) > 1:
            return (f"{place}: " if "." in place else "") + str(unknown(each.kind, found, each.names))
    return f"{place}: found {said(found)}; expected {expected(annotation, metadata)}"


def _follow(annotation: Any, loc: tuple[str | int, ...], place: str = "") -> tuple[str, Any, Collection[Any]]:
    """The dotted path of an error below `place`, and the annotation that holds there."""
    metadata: Collection[Any] = ()
    for key, below in zip(loc, [*loc[1:], None], strict=False):
        annotation, metadata = _bare(annotation, metadata)
        origin, args = get_origin(annotation), get_args(annotation)
        if below == "[key]":  # the key itself is wrong
            return place, *_bare(args[0], ())
        if _is_values(annotation):
            field = _field(annotation, str(key))
            if field is None:
                break
            place, annotation, metadata = f"{place}.{key}".lstrip("."), field.annotation, field.metadata
        elif origin is dict:
            place, annotation, metadata = f"{place}.{key}".lstrip("."), args[1], ()
        elif origin in (list, tuple) and isinstance(key, int):
            place, annotation, metadata = f"{place}[{key}]", args[0], ()
        else:  # a member of a union
            break
    return place, *_bare(annotation, metadata)


def _bare(annotation: Any, metadata: Collection[Any]) -> tuple[Any, Collection[Any]]:
    """An annotation without `Annotated` and without null, and all that was said of it."""
    while True:
        args = get_args(annotation)
        like = next((each for each in metadata if isinstance(each, Like)), None)
        if get_origin(annotation) is Annotated:
            more = [m for each in args[1:] for m in (each.metadata if isinstance(each, FieldInfo) else [each])]
            annotation, metadata = args[0], (*metadata, *more)
        elif get_origin(annotation) in (Union, types.UnionType) and types.NoneType in args and len(args) == 2:
            annotation = next(arg for arg in args if arg is not types.NoneType)
        elif like is not None:
            return like.model, [each for each in metadata if each is not like]
        else:
            return annotation, metadata


def _field(model: type[Values], key: str) -> FieldInfo | None:
    return next((f for name, f in model.model_fields.items() if key in (name, f.alias)), None)


def _is_values(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Values)


def _bounds(metadata: Collection[Any]) -> dict[type, Any]:
    kinds = {Ge: "ge", Gt: "gt", Le: "le", Lt: "lt", MinLen: "min_length"}
    return {k: getattr(m, attribute) for m in metadata for k, attribute in kinds.items() if isinstance(m, k)}


def _range(metadata: Collection[Any]) -> str:
    found = {
        kind: f"{bound:,}" if isinstance(bound, int) else f"{bound:g}" for kind, bound in _bounds(metadata).items()
    }
    match found.get(Ge), found.get(Gt), found.get(Le), found.get(Lt):
        case str(low), _, str(high), _:
            return f" from {low} to {high}"
        case str(low), _, _, str(high):
            return f" from {low} to below {high}"
        case str(low), _, _, _:
            return f" of at least {low}"
        case _, str(low), str(high), _:
            return f" above {low} and up to {high}"
        case _, str(low), _, str(high):
            return f" between {low} and {high}"
        case _, str(low), _, _:
            return f" above {low}"
        case _, _, str(high), _:
            return f" of at most {high}"
        case _, _, _, str(high):
            return f" below {high}"
    return ""
