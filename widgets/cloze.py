"""Ask language models for a word, side by side: type a sentence, plug and unplug adapters, see what each model says."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets
import traitlets
from transformers import PreTrainedTokenizerBase

from kadapter.errors import KAdapterError
from kadapter.graphs.surfaces import Surfaces
from kadapter.model.backbone import load_tokenizer
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.model.mapping import EntityMapping
from kadapter.probing.completions import Completion, complete
from kadapter.tasks.prompts import word_ids
from kadapter.training.language import speaking_task
from widgets import style
from widgets.adapter_switch import Plugs
from widgets.background import Progress, Work
from widgets.link_box import LinkBox, offer
from widgets.static_view import StaticView

WAIT = 0.4  # seconds without a key before models are asked


class Cloze(StaticView):
    """The top words of each model for one sentence, with the rank and probability of an expected answer.

    Args:
        models: name -> a model that speaks (`kadapter.training.language.language_model`, or one of a cloze run).
        text: a sentence with [MASK]; left-to-right models also take an open end.
        answer: the word that is expected; "" for none.
        words: candidates that can be switched on instead of the whole vocabulary.
        top: words a model.
        mappings: name -> a mapping, or its folder, that can be plugged into every model that it was made for.
        surfaces: name -> ids of the entities that a text may name (`kadapter.graphs.surfaces`).

    Attributes:
        text, answer: assign to them, or type.
        listed: whether only the candidates `words` count.
        linked: the plugged mappings, and the entities in the text (`LinkBox`).

    Raises KAdapterError for a model that does not speak.
    """

    text = traitlets.Unicode()
    answer = traitlets.Unicode()
    listed = traitlets.Bool()

    def __init__(
        self,
        models: Mapping[str, KnowledgeModel],
        text: str = "",
        answer: str = "",
        words: Sequence[str] = (),
        top: int = 5,
        mappings: Mapping[str, EntityMapping | str | Path] | None = None,
        surfaces: Surfaces | None = None,
    ) -> None:
        if not models:
            raise KAdapterError("Cloze shows nothing: expected at least one model, as {'smollm2': model}")
        for model in models.values():
            speaking_task(model)
        self.models, self._top = dict(models), top
        self._tokenizers: dict[str, PreTrainedTokenizerBase] = {}
        self._words, self._found = list(words), dict[str, Completion]()
        self._plugs = {name: Plugs.of(model) for name, model in models.items()}
        self.linked = LinkBox(surfaces or {}, self._plug_mapping, lambda: self._ask(0.0))
        offer(self._plugs, mappings or {}, self.models)
        self._sentence = ipywidgets.Text(
            value=text, placeholder="The capital of France is [MASK]", layout={"width": "620px"},
        )  # fmt: skip
        self._sentence.tooltip = "A sentence with [MASK]"
        self._expected = ipywidgets.Text(value=answer, placeholder="expected answer", layout={"width": "170px"})
        self._expected.tooltip = "The word that you expect"
        self._only = ipywidgets.Checkbox(
            value=False, description=f"only the {len(self._words):,} words of the list", indent=False,
            layout={"display": "" if words else "none", "width": "260px"},
        )  # fmt: skip
        self._switches = ipywidgets.HBox()
        self._error, self._tables = ipywidgets.HTML(), ipywidgets.HTML()
        self.work = Work()
        controls = ipywidgets.HBox([self._sentence, self._expected, self._only], layout={"flex_flow": "row wrap"})
        super().__init__([controls, self._error, self._switches, self.linked, self._tables, self.work.box])
        for widget, trait in ((self._sentence, "text"), (self._expected, "answer"), (self._only, "listed")):
            traitlets.link((widget, "value"), (self, trait))
        for plugs in self._plugs.values():
            plugs.listen(self._replugged)
        self._replugged()

    @traitlets.observe("text", "answer", "listed")
    def _typed(self, change: Any) -> None:
        if hasattr(self, "work"):
            self._ask(WAIT)

    def _replugged(self) -> None:
        """Draw the switches as the models are now, and ask again."""
        boxes = []
        for name, plugs in self._plugs.items():
            for adapter in plugs.names:
                on = adapter in plugs.plugged
                box = ipywidgets.ToggleButton(
                    value=on, description=f"{adapter} in {name}", icon="check" if on else "times",
                    tooltip=f"Plug or unplug the adapter {adapter} of the model {name}", layout={"width": "auto"},
                )  # fmt: skip
                box.observe(lambda change, p=plugs, a=adapter: p.set(a, change["new"]), "value")
                boxes.append(box)
        self._switches.children = boxes
        self.linked.show(self._plugs)
        self._ask(0.0)

    def _plug_mapping(self, model: str, mapping: str, on: bool) -> None:
        try:
            self._plugs[model].set_mapping(mapping, on)  # `_replugged` hears of it
        except KAdapterError as problem:
            self._error.value = style.error(style.message(problem))
            self.linked.show(self._plugs)

    def _ask(self, delay: float) -> None:
        if not self.text.strip():
            self._found, self._error.value = {}, ""
            self._draw(stale=False)
            return
        self._draw(stale=True)
        self.linked.read(self.text)
        self.work.submit(self._compute, self._put, self._fail, delay)

    def _compute(self, progress: Progress) -> tuple[dict[str, Completion], str]:
        found, links = {}, self.linked.links(self.text)
        for number, (name, model) in enumerate(self.models.items()):
            progress((number + 0.5) / len(self.models), f"asking {name}")
            tokenizer = self._tokenizer(name)
            candidates = word_ids(tokenizer, self._words) if self.listed and self._words else None
            with self._plugs[name].lock:
                found[name] = complete(model, tokenizer, self.text, candidates, self.answer, self._top, links)
        return found, self.linked.nearest(self.text, {n: (m, self._tokenizer(n)) for n, m in self.models.items()})

    def _tokenizer(self, name: str) -> PreTrainedTokenizerBase:
        if name not in self._tokenizers:
            backbone = self.models[name].backbone
            self._tokenizers[name] = load_tokenizer(backbone.name, backbone.revision)
        return self._tokenizers[name]

    def _put(self, answered: tuple[dict[str, Completion], str]) -> None:
        self._found, self.linked.table.value = answered
        self._error.value = ""
        self._draw(stale=False)

    def _fail(self, problem: Exception) -> None:
        self._found = {}
        self._error.value = style.error(style.message(problem))
        self._draw(stale=False)

    def _draw(self, stale: bool) -> None:
        tables = "".join(self._table(name, found) for name, found in self._found.items())
        self._tables.value = f'<div class="kadapter-tables{" kadapter-stale" if stale else ""}">{tables}</div>'
        if not stale:
            self.changed()

    def _row(self, name: str) -> str:
        """A model's name, with what it had and has no more."""
        plugs = self._plugs[name]
        gone = [f"{adapter} unplugged" for adapter in plugs.names if adapter not in plugs.plugged]
        return ", ".join([name, *([f"{plugs.mapping} plugged"] if plugs.mapping else []), *gone])

    def _table(self, name: str, found: Completion) -> str:
        rows = "".join(
            f"<tr{' class=kadapter-true' if word == self.answer.strip() else ''}>"
            f"<td>{escape(word) or '(space)'}</td><td>{100 * p:.1f}%</td></tr>"
            for word, p in zip(found.words, found.probabilities, strict=True)
        )
        told = ""
        if found.probability is not None:
            rank = "several tokens" if found.rank is None else f"rank {found.rank:,}"
            told = f"<tr><td>{escape(self.answer.strip())}: {rank}</td><td>{100 * found.probability:.3g}%</td></tr>"
        return f"<table><caption>{escape(self._row(name))}</caption>{rows}{told}</table>"

    def summary(self) -> str:
        said = [f"{self._row(n)}: {f.words[0] if f.words else ''}" for n, f in self._found.items()]
        return f"Cloze({self.text!r}{': ' if said else ''}{'; '.join(said)})"

    def picture(self) -> str:
        below = self._error.value + self._tables.value + self.linked.table.value
        return f'<p class="kadapter-sentence">{escape(self.text)}</p>{below}'
