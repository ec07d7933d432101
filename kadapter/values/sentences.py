"""What an annotation expects, in words; and the one sentence of an error that pydantic has found."""

import types
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from kadapter.errors import unknown
from kadapter.values.kinds import Like, OneOf, Values, Words


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


def said(found: Any, longest: int = 80) -> str:
    """A value as an error or a page shows it; cut where it is long."""
    shown = repr(found)
    return shown if len(shown) <= longest else shown[: longest - 3] + "..."


def first(error: ValidationError) -> Any:
    """What is told of all that is wrong. A misspelt key is a missing one, too: the misspelt is told."""
    found = error.errors(include_url=False, include_context=False)
    return next((each for each in found if each["type"] == "extra_forbidden"), found[0])


def sentence(model: type[Values], error: Mapping[str, Any], noun: str, at: str) -> str:
    """The sentence of an error that pydantic has found in values below `at`; a key is called `noun`."""
    if error["type"] not in ("extra_forbidden", "missing"):
        place, annotation, metadata = follow(model, error["loc"], at)
        place = place if noun == "key" or "." in place else f"{noun} {place}"
        return found_where(place, error["input"], annotation, metadata)
    *parent, key = error["loc"]
    place, annotation, _ = follow(model, tuple(parent), at)
    if error["type"] == "missing":
        return f"{place or 'preset'}: the key {key!r} is missing"
    known = [field.alias or name for name, field in annotation.model_fields.items()]
    return str(unknown(f"{place} key" if place else noun, key, known))


def found_where(place: str, found: Any, annotation: Any, metadata: Collection[Any]) -> str:
    """What was found at a place, and what was expected there."""
    for each in metadata:
        if isinstance(each, OneOf) and isinstance(found, str) and len(each.names) > 1:
            return (f"{place}: " if "." in place else "") + str(unknown(each.kind, found, each.names))
    return f"{place}: found {said(found)}; expected {expected(annotation, metadata)}"


def follow(annotation: Any, loc: tuple[str | int, ...], place: str = "") -> tuple[str, Any, Collection[Any]]:
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
