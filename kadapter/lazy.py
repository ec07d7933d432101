"""Names that a package imports when they are first used, so that importing it costs nothing."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def on_first_use(
    package: dict[str, Any], home: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package.

    Args:
        package: its `globals()`.
        home: name -> the module of the package that defines it.
    """

    def getattribute(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package['__name__']!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{package['__name__']}.{home[name]}"), name)
        package[name] = value  # the next access does not come here
        return value

    return getattribute, lambda: sorted({*package, *home})
