"""What people touch in JupyterLab: widgets over cases, runs and models. They show; what is computed stands in kadapter.

The names below are imported when first used, so that `import widgets` needs neither ipywidgets nor torch.
"""

import importlib
from typing import Any

_HOME = {
    "AdapterSwitch": "adapter_switch",
    "CaseStudy": "case_study",
    "DatasetBrowser": "dataset_browser",
    "Runs": "runs",
    "TrainingCurves": "training_curves",
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
