"""What can be probed: a backbone by name, a saved model or adapter, or the run that left one; adapters beside it."""

from collections.abc import Sequence
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from kadapter.errors import KAdapterError
from kadapter.hub.adapter_folder import CONFIG, MODEL_CONFIG, load_adapter
from kadapter.machine.device import best_device
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.training.language import language_model


def load(named: str, plug: Sequence[str | Path] = ()) -> tuple[KnowledgeModel, PreTrainedTokenizerBase]:
    """A model that speaks, and its tokenizer.

    Args:
        named: the folder of a run, of a saved model or of a saved adapter that was trained with a language head; else
            the name, Hub id or folder of a masked or causal language model.
        plug: folders of adapters (or of the runs that left them) to plug in beside it.

    Raises KAdapterError for a model that does not speak, and for an adapter that changes nothing that it says.
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
    for adapter in plug:
        plug_in(model, adapter)
    return model.to(best_device()).eval(), load_tokenizer(model.backbone.name, model.backbone.revision)


def plug_in(model: KnowledgeModel, folder: str | Path) -> str:
    """Plug a saved adapter into a model that speaks; the name under which it is there: its own, with a number where
    that is taken.

    Raises KAdapterError for an adapter of another backbone, and for one that was not trained to speak.
    """
    inner = Path(folder) / "adapter"
    adapter = load_adapter(inner if inner.is_dir() else folder, model.backbone)
    head = adapter.pretraining_head
    if head is None or head.fusion != "residual" or model.fusion.kind != "residual":
        kind = "nothing" if head is None else f"the task {head.task!r} with fusion {head.fusion!r}"
        raise KAdapterError(
            f"{folder} was pre-trained with {kind} and would change no word that the model says: expected an adapter "
            "of the task 'cloze' with fusion 'residual', as kadapter infuse makes it"
        )
    own = str(adapter.provenance.get("name") or Path(folder).resolve().name).replace(".", "-")
    name, number = own, 2
    while name in model.adapter_names:
        name, number = f"{own}-{number}", number + 1
    model.plug(name, adapter)
    return name
