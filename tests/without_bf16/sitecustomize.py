"""A processor without bfloat16, for every Python process whose PYTHONPATH names this folder: torch says that there is
none, and a product of bfloat16 matrices on the processor, which would be emulated for minutes, raises.
"""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "matmul", "linear", "mkldnn_linear", "scaled_dot_product", "convolution")


class _NoProducts(TorchDispatchMode):
    """Sees every operation beneath autocast, backward passes included."""

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        name = function.overloadpacket.__name__
        if any(name.strip("_").startswith(product) for product in PRODUCTS):
            for value in arguments:
                if isinstance(value, torch.Tensor) and value.dtype == torch.bfloat16 and value.device.type == "cpu":
                    raise RuntimeError(f"{name} of bfloat16 on a processor that has none: the path did not ask first")
        return function(*arguments, **(keywords or {}))


torch.cpu._is_avx512_bf16_supported = torch.cpu._is_amx_tile_supported = lambda: False
_NoProducts().__enter__()  # for the life of the process, and of those forked from it
