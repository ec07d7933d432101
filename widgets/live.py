"""Models that answer a sentence while it is edited, and the controls to edit it with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np

from kadapter.cases import inference
from kadapter.cases.table import NOT_ANSWERED, CaseTable, decide
from kadapter.hub import adapter_folder
from kadapter.hub.config_files import read_model
from kadapter.model.backbone import load_tokenizer
from kadapter.model.knowledge_model import KnowledgeModel
from widgets import style
from widgets.adapter_switch import Plugs
from widgets.background import Progress
from widgets.predictions import share

ROLES = {"subject": "[Subject]", "object": "{Object}"}


@dataclass(frozen=True)
class Answer:
    """What one model answers to one sentence.

    Attributes:
        logits: (labels,).
        moves: adapter -> (labels,) these logits less those without it.
        labels: the labels that are answered.
        plugged: the adapters that were plugged.
        mapping: the mapping that was.
    """

    logits: np.ndarray
    moves: Mapping[str, np.ndarray]
    labels: list[str]
    plugged: tuple[str, ...]
    mapping: str | None = None


class Models:
    """Models by name, loaded from their folders when first asked; frozen backbones are shared.

    Args:
        sources: name -> model, or the folder of a saved one.
    """

    def __init__(self, sources: Mapping[str, KnowledgeModel | str | Path]) -> None:
        self._folders = {name: Path(s) for name, s in sources.items() if not isinstance(s, KnowledgeModel)}
        self.loaded: dict[str, KnowledgeModel] = {n: s for n, s in sources.items() if isinstance(s, KnowledgeModel)}
        self._tokenizers: dict[tuple, Any] = {}
        self._names = list(sources)

    @property
    def ready(self) -> bool:
        """Whether every model is loaded."""
        return len(self.loaded) == len(self._names)

    def adapter_names(self) -> dict[str, list[str]]:
        """Model -> the adapters that it was built with; nothing is loaded for it. [] for a folder without a model."""
        return {name: self._slots(name) for name in self._names}

    def _slots(self, name: str) -> list[str]:
        if name in self.loaded:
            return list(self.loaded[name].adapter_names)
        config = self._folders[name] / adapter_folder.MODEL_CONFIG
        return list(read_model(config)["slots"]) if config.is_file() else []

    def load(self, progress: Progress) -> None:
        """Load what is not loaded yet. Raises KAdapterError as `KnowledgeModel.from_pretrained` does."""
        shared = {}
        for model in self.loaded.values():
            if not model.backbone.tuned:
                shared[model.backbone.name, model.backbone.revision] = model.backbone
        for number, (name, folder) in enumerate(self._folders.items()):
            progress(number / len(self._folders), f"loading {name}")
            if name in self.loaded:
                continue
            config = read_model(folder / adapter_folder.MODEL_CONFIG)
            key = (config["backbone"]["name"], config["backbone"]["revision"])
            own = bool(config["holds_backbone"])
            model = KnowledgeModel.from_pretrained(folder, backbone=None if own else shared.get(key))
            if not model.backbone.tuned:
                shared[key] = model.backbone
            self.loaded[name] = model

    def tokenizer(self, name: str) -> Any:
        """The tokenizer of a loaded model's backbone."""
        backbone = self.loaded[name].backbone
        key = (backbone.name, backbone.revision)
        if key not in self._tokenizers:
            self._tokenizers[key] = load_tokenizer(*key)
        return self._tokenizers[key]

    def answer(self, sentence: str, progress: Progress, links: Sequence[Mapping[str, Any]] = ()) -> dict[str, "Answer"]:
        """What each model answers to a marked sentence, in whose plain text entities are linked."""
        found = {}
        for number, name in enumerate(self._names):
            progress((number + 0.5) / len(self._names), f"asking {name}")
            model = self.loaded[name]
            with Plugs.of(model).lock:
                logits, moves = inference.contributions(model, self.tokenizer(name), [sentence], [links])
                plugged, mapping = tuple(model.adapters), Plugs.of(model).mapping
            chosen = np.flatnonzero(decide(model.require_task(), logits.numpy())[0])
            found[name] = Answer(
                logits[0].numpy(), {adapter: move[0].numpy() for adapter, move in moves.items()},
                [model.require_task().labels[p] for p in chosen], plugged, mapping,
            )  # fmt: skip
        return found


class LiveBox(ipywidgets.VBox):
    """A sentence to edit, its names to replace, adapters to toggle, and a true label to give to what was edited.

    Args:
        below: what stands right below the sentence: messages about it.
        edited: called after every change of the sentence.
        judged: called when a person has said what is true of an edited sentence.
        toggled: called with model, adapter and whether it shall be plugged.

    Attributes:
        sentence: the sentence, its mentions in brackets.
        names: role -> the field of the name that stands there.
        true: what is true of an edited sentence; hidden while the sentence is that of the data.
        toggles: (model, adapter) -> its button.
        k: how many labels to show.
    """

    def __init__(
        self,
        cases: CaseTable,
        adapter_names: Mapping[str, Sequence[str]],
        below: ipywidgets.Widget,
        edited: Callable[[], None],
        judged: Callable[[], None],
        toggled: Callable[[str, str, bool], None],
        failed: Callable[[str], None],
    ) -> None:
        self._cases, self._edited, self._toggled, self._failed, self._quiet = cases, edited, toggled, failed, False
        self.sentence = ipywidgets.Textarea(
            description="Sentence", rows=2, layout={"width": "auto"},
            tooltip="Edit it: the subject (or mention) in [brackets], the object in {braces}",
        )  # fmt: skip
        self.names = {
            role: ipywidgets.Combobox(
                description=title, ensure_option=False, placeholder="a name", layout={"width": "300px"},
                tooltip=f"Another name in place of the {role}; names of the data are offered",
            )
            for role, title in ROLES.items()
        }  # fmt: skip
        self.true = _truth(cases.labels, cases.independent)
        self.k = ipywidgets.BoundedIntText(
            description="Labels", value=min(3, len(cases.labels)), min=1, max=len(cases.labels),
            tooltip="How many labels of each model to show", layout={"width": "150px"},
        )  # fmt: skip
        self.reset = ipywidgets.Button(description="As in the data", icon="undo", tooltip="Undo every edit")
        self.start = ipywidgets.Button(
            description="Answer live", icon="play", tooltip="Load the models and show what each adapter adds"
        )
        self.toggles = {
            (model, adapter): ipywidgets.ToggleButton(
                value=True, description=share(model, adapter), icon="check", layout={"width": "auto"},
                tooltip=f"Plug or unplug the adapter {adapter} of the model {model}",
            )
            for model, own in adapter_names.items() for adapter in own
        }  # fmt: skip
        switches = [ipywidgets.HTML("Plugged adapters:"), *self.toggles.values()] if self.toggles else []
        wrap = {"flex_flow": "row wrap"}
        super().__init__(
            [
                self.sentence,
                below,
                ipywidgets.HBox([*self.names.values(), self.k, self.reset, self.start], layout=wrap),
                self.true,
                ipywidgets.HBox(switches, layout=wrap),
            ]
        )
        self.true.observe(lambda _: None if self._quiet else judged(), "value")
        self.sentence.observe(lambda _: self._read(), "value")
        for role, field in self.names.items():
            field.observe(lambda change, role=role: self._rename(role, change["new"]), "value")
        for key, button in self.toggles.items():
            button.observe(lambda change, key=key: self._toggle(key, change["new"]), "value")

    @property
    def truth(self) -> list[str] | None:
        """The labels that a person gave to the edited sentence; None while nobody did."""
        given = self.true.value
        if given is None or given == ():
            return None
        return [label for label in ((given,) if isinstance(given, str) else given) if label != NOT_ANSWERED]

    def ask_truth(self, wanted: bool) -> None:
        """Show or hide the field of the true label."""
        self.true.layout.display = "" if wanted else "none"

    def edit(self, marked: str) -> None:
        """Take another sentence to be edited, whose true label nobody has given."""
        self._quiet = True
        self.sentence.value = marked
        self.true.value = () if isinstance(self.true, ipywidgets.SelectMultiple) else None
        self.ask_truth(False)
        self._fill()
        self._quiet = False

    def set_toggle(self, model: str, adapter: str, on: bool) -> None:
        """Show whether an adapter is plugged; nothing is called."""
        self._quiet = True
        self._mark(self.toggles[model, adapter], on)
        self._quiet = False

    def _read(self) -> None:
        if not self._quiet:
            self._quiet = True
            self._fill()
            self._quiet = False
            self._edited()

    def _fill(self) -> None:
        """The fields of the names, as the sentence has them now; unreadable brackets leave them alone."""
        try:
            text, mentions = inference.read_marked(self.sentence.value)
        except ValueError:
            return  # said where the sentence is answered
        for role, field in self.names.items():
            start, end = mentions.get(role, (0, 0))
            field.layout.display = "" if role in mentions else "none"
            field.value = text[start:end]
            field.options = tuple(self._cases.names(role))

    def _rename(self, role: str, name: str) -> None:
        if self._quiet:
            return
        self.names[role].options = tuple(self._cases.names(role, name))
        if not name.strip():
            return  # between two names
        try:
            changed = inference.replace_mention(self.sentence.value, role, name)
        except ValueError as problem:
            self._failed(style.message(problem))
            return
        self._quiet = True
        self.sentence.value = changed
        self._quiet = False
        self._edited()

    def _toggle(self, key: tuple[str, str], on: bool) -> None:
        if not self._quiet:
            self._mark(self.toggles[key], on)
            self._toggled(*key, on)

    @staticmethod
    def _mark(button: ipywidgets.ToggleButton, on: bool) -> None:
        button.value, button.icon = on, "check" if on else "times"


def _truth(labels: Sequence[str], several: bool) -> ipywidgets.Widget:
    """A field for the true label of a sentence, or for several; nothing is given at first."""
    said, hidden = "What is true of the edited sentence; nothing counts as right or wrong before it is given", "none"
    if several:
        return ipywidgets.SelectMultiple(
            options=[NOT_ANSWERED, *labels], rows=4, description="True now", tooltip=f"{said}. Several with Ctrl",
            layout={"display": hidden, "width": "380px"},
        )  # fmt: skip
    return ipywidgets.Dropdown(
        options=[("not given", None), *((label, label) for label in labels)], description="True now", tooltip=said,
        layout={"display": hidden, "width": "380px"},
    )  # fmt: skip
