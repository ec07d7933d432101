"""K-Adapter (Wang et al., 2021): knowledge adapters for a frozen language model.

The names below are imported when first used, so that `import kadapter` and the command line start without torch.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "AdapterConfig": "adapter",
    "Backbone": "backbone",
    "FeatureStore": "features",
    "KAdapterError": "errors",
    "KnowledgeAdapter": "adapter",
    "KnowledgeModel": "model",
    "Settings": "training",
    "fit": "training",
    "predict": "evaluation",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value  # the next access does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
