"""K-Adapter (Wang et al., 2021): knowledge adapters for a frozen language model.

The names below are imported when first used, so that `import kadapter` and the command line start without torch.
"""

from kadapter.lazy import on_first_use
from kadapter.machine import threads

__version__ = "0.1.0"

_HOME = {
    "AdapterConfig": "model.adapter",
    "Backbone": "model.backbone",
    "FeatureStore": "training.features",
    "KAdapterError": "errors",
    "KnowledgeAdapter": "model.adapter",
    "KnowledgeModel": "model.knowledge_model",
    "Settings": "training.settings",
    "fit": "training.fit",
    "pipeline": "cases.pipeline",
    "predict": "training.predict",
}
__all__ = sorted(_HOME)
threads.wait_asleep()  # before anything loads torch
__getattr__, __dir__ = on_first_use(globals(), _HOME)
