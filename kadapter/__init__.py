"""K-Adapter (Wang et al., 2021): knowledge adapters for a frozen language model.

The names below are imported when first used, so that `import kadapter` and the command line start without torch.
"""

from kadapter.lazy import on_first_use

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
__getattr__, __dir__ = on_first_use(globals(), _HOME)
