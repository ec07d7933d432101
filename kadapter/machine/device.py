"""Where a model is computed, and in which precision: the one place that says whether bfloat16 is worth asking for."""

import os

import torch

from kadapter.errors import KAdapterError

BF16 = "KADAPTER_BF16"  # environment variable: 1 or 0 says yes or no for every device; auto, or unset, asks it


def best_device() -> torch.device:
    """Where training runs: the GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def has_bf16(device: torch.device) -> bool:
    """Whether a device multiplies matrices of bfloat16 by itself.

    Every path that could compute in bfloat16 asks here first: a processor without the instructions (AVX2 alone)
    emulates them, hundreds of times slower than float32. The environment variable `KADAPTER_BF16` answers instead,
    where it is set. Raises KAdapterError if it is neither 0, 1 nor auto.
    """
    forced = os.environ.get(BF16, "auto")
    if forced not in ("0", "1", "auto"):
        raise KAdapterError(f"environment variable {BF16}: found {forced!r}; expected 0, 1 or auto")
    if forced != "auto":
        return forced == "1"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def told_precision(device: torch.device) -> str:
    """What `has_bf16` answers and why, in words.

    >>> os.environ[BF16] = "0"
    >>> told_precision(torch.device("cpu"))
    'float32 (KADAPTER_BF16=0)'
    """
    precision = "bfloat16" if has_bf16(device) else "float32"
    forced = os.environ.get(BF16, "auto")
    return f"{precision} ({BF16}={forced})" if forced != "auto" else f"{precision} (as the {device.type} can)"
