"""Memory that one training step frees stays with the process for the next one: new pages from the system cost a tenth
of a step on a processor."""

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# mallopt(3) of glibc: freed memory at the top of the heap is kept; large blocks come from the heap, too
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_KEEP_ALL, _NO_MMAP = -1, 0
_DEFAULTS = {_TRIM_THRESHOLD: 128 * 1024, _MMAP_MAX: 65536}
_inside = 0


def _libc() -> ctypes.CDLL | None:
    """glibc, or None where another library manages memory."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") and hasattr(library, "mallopt") else None


def give_back() -> None:
    """Return what nobody uses to the system, so that a measurement does not meet what came before it."""
    gc.collect()
    libc = _libc()
    if libc is not None:
        libc.malloc_trim(0)


@contextmanager
def kept_memory() -> Iterator[None]:
    """Within the block, freed memory is kept for the next allocation; afterwards it goes back to the system.

    Blocks may nest. Does nothing where the C library is not glibc.
    """
    global _inside
    libc = _libc()
    if libc is None:
        yield
        return
    _inside += 1
    libc.mallopt(_TRIM_THRESHOLD, _KEEP_ALL)
    libc.mallopt(_MMAP_MAX, _NO_MMAP)
    try:
        yield
    finally:
        _inside -= 1
        if not _inside:
            for option, value in _DEFAULTS.items():
                libc.mallopt(option, value)
            libc.malloc_trim(0)
