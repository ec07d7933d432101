"""What a value may be. Type, range, default and meaning stand in one annotation, from which the check, its one sentence
and the reference page are made (`kadapter.cli.reference`):

    width: Annotated[int, value("width of the inner transformer layers", 1, 65_536)] = 768

pydantic reads the annotations and finds what is wrong; the sentence is ours, made from the same annotation.
"""

import functools
import inspect
import textwrap
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError

from kadapter.errors import KAdapterError
from kadapter.values.kinds import FILE_NAME, Like, MaxLength, Name, OneOf, Seed, Values, Words, extended, of, value
from kadapter.values.sentences import expected, first, follow, found_where, said, sentence

__all__ = [
    "FILE_NAME", "Like", "MaxLength", "Name", "OneOf", "Seed", "Values", "Words", "check", "check_value", "checked",
    "defaults", "expected", "extended", "fields", "of", "said", "told", "value",
]  # fmt: skip


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
        raise KAdapterError(f"{where}{sentence(model, first(error), noun, at)}") from None
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
        place, inner, metadata = follow(annotation, first(error)["loc"])
        raise KAdapterError(found_where(f"{where}{place}", first(error)["input"], inner, metadata)) from None


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


def defaults(source: type | Callable) -> dict[str, Any]:
    """New copies of the defaults of the values that need not be given."""
    given = ((f.alias or name, f) for name, f in of(source).model_fields.items() if not f.is_required())
    return {name: field.get_default(call_default_factory=True) for name, field in given}
