"""What can be probed: a backbone by name, a saved model or adapter, or the run that left one."""

from pathlib import Path

from transformers import PreTrainedTokenizerBase

from kadapter.errors import KAdapterError
from kadapter.hub.adapter_folder import CONFIG, MODEL_CONFIG
from kadapter.machine.device import best_device
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.training.language import language_model


def load(named: str) -> tuple[KnowledgeModel, PreTrainedTokenizerBase]:
    """A model that speaks, and its tokenizer.

    Args:
        named: the folder of a run, of a saved model or of a saved adapter that was trained with a language head; else
            the name, Hub id or folder of a masked or causal language model.

    Raises KAdapterError for a model that does not speak.
    """
    folder = Path(named)
    for inner in (folder / "model", folder / "adapter", folder):
        if (inner / MODEL_CONFIG).is_file():
            model = KnowledgeModel.from_pretrained(inner)
        elif (inner / CONFIG).is_file():
            model = KnowledgeModel.from_adapter(inner)
        else:
            continue
        if model.task is None or not model.task.speaks:
            has = "no head" if model.task is None else f"a head for the task {model.task.name!r}"
            raise KAdapterError(f"{inner} has {has}; expected a language head: one of a run of the task 'cloze'")
        break
    else:
        model = language_model(Backbone(named))
    return model.to(best_device()).eval(), load_tokenizer(model.backbone.name, model.backbone.revision)
