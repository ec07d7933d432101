"""What people touch in JupyterLab: widgets over cases, runs and models. They show; what is computed stands in kadapter.

The names below are imported when first used, so that `import widgets` needs neither ipywidgets nor torch.
"""

from kadapter.lazy import on_first_use

_HOME = {
    "AdapterSwitch": "adapter_switch",
    "CaseStudy": "case_study",
    "Cloze": "cloze",
    "DatasetBrowser": "dataset_browser",
    "Infuse": "infuse",
    "Runs": "runs",
    "TrainingCurves": "training_curves",
}
__all__ = sorted(_HOME)
__getattr__, __dir__ = on_first_use(globals(), _HOME)
