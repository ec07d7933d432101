"""The one kind of error a user is meant to read: a sentence with what was found, where, what was expected and how to
mend it."""

import difflib
from collections.abc import Iterable


class KAdapterError(ValueError):
    """Bad input from a user. The command line prints its sentence alone, without a traceback."""


class FormatError(KAdapterError):
    """A record of a data file that does not follow its published format.

    The message is `FILE, WHERE: FIELD: found FOUND; expected EXPECTED`, where WHERE is a line or record number (from
    1).
    """

    def __init__(self, file: object, where: str, field: str, found: object, expected: str) -> None:
        shown = repr(found)
        shown = shown if len(shown) <= 80 else shown[:77] + "..."
        super().__init__(f"{file}, {where}: {field}: found {shown}; expected {expected}")
        self.file, self.where, self.field, self.found, self.expected = str(file), where, field, found, expected

    def __reduce__(self):  # pickled whole, so that worker processes can raise it
        return type(self), (self.file, self.where, self.field, self.found, self.expected)


def unknown(kind: str, name: object, known: Iterable[str]) -> KAdapterError:
    """The error for a name that is not in a list: the closest names first, then all of them.

    >>> str(unknown("task", "relaton", ["relation", "typing"]))
    "unknown task 'relaton': did you mean 'relation'? known: relation, typing"
    """
    known = sorted(known)
    close = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5)
    hint = f" did you mean {' or '.join(map(repr, close))}?" if close else ""
    return KAdapterError(f"unknown {kind} {str(name)!r}:{hint} known: {', '.join(known)}")
