"""The adapters of a model as switches, with what each was trained on: Figure 1b of the paper to click on."""

import threading
import weakref
from collections.abc import Callable, Iterable
from html import escape
from typing import Any

import ipywidgets
import traitlets

from kadapter.errors import KAdapterError, unknown
from kadapter.model.adapter import KnowledgeAdapter
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.model.mapping import EntityMapping
from widgets import style
from widgets.background import Progress, Work, safely
from widgets.static_view import StaticView


class Plugs:
    """Which adapters of one model, and which mapping, are plugged. Everything that shows the model hears of a change,
    whoever made it.

    Attributes:
        lock: held while the model computes or changes.
        known: name -> adapter, the unplugged ones too, so that they can be plugged again.
        mappings: name -> mapping, those too that were offered and never plugged.
    """

    _all: "weakref.WeakKeyDictionary[KnowledgeModel, Plugs]" = weakref.WeakKeyDictionary()

    def __init__(self, model: KnowledgeModel) -> None:
        self._model: Callable[[], Any] = weakref.ref(model)  # who shows a model keeps it
        self.lock = threading.RLock()
        self.known: dict[str, KnowledgeAdapter] = {}
        self.mappings: dict[str, EntityMapping] = {}
        self._told: tuple | None = None
        self._listeners: list[Any] = []  # weak references to bound methods
        self.refresh()

    @classmethod
    def of(cls, model: KnowledgeModel) -> "Plugs":
        """The one of a model, made when first asked for."""
        if model not in cls._all:
            cls._all[model] = cls(model)
            _after_cells()
        return cls._all[model]

    @property
    def names(self) -> list[str]:
        """Every adapter that the model has or had, in the order of its `adapter_names`."""
        adapter_names = self._model().adapter_names
        return [*adapter_names, *(name for name in self.known if name not in adapter_names)]

    @property
    def plugged(self) -> tuple[str, ...]:
        """The adapters that are plugged now."""
        return tuple(name for name in self.names if name in self._model().adapters)

    @property
    def mapping(self) -> str | None:
        """The mapping that is plugged now."""
        mapping = self._model().mapping
        return None if mapping is None else mapping.name

    def offer(self, mappings: Iterable[EntityMapping]) -> None:
        """Mappings that can be plugged in, beside the one that is."""
        self.mappings |= {mapping.name: mapping for mapping in mappings}

    def set_mapping(self, name: str, on: bool) -> None:
        """Plug a mapping in place of the one that is plugged, or unplug it. Raises KAdapterError for one that the model
        was never offered, and as `plug_mapping` does; then nothing has changed."""
        if name not in self.mappings:
            raise unknown("mapping that this model had", name, self.mappings)
        model = self._model()
        with self.lock:
            former = model.unplug_mapping() if model.mapping is not None and (on or self.mapping == name) else None
            try:
                if on:
                    model.plug_mapping(self.mappings[name])
            except KAdapterError:
                if former is not None:
                    model.plug_mapping(former)
                raise
        self.refresh()

    def set(self, name: str, on: bool) -> None:
        """Plug or unplug one adapter. Raises KAdapterError as `assign` does."""
        self.assign([n for n in (*self.plugged, name) if on or n != name])

    def assign(self, names: Iterable[str]) -> None:
        """Plug these adapters and unplug the others, through the model's own methods.

        Raises KAdapterError for a name that the model never had, or one that was never plugged; then
        nothing has changed.
        """
        model, wanted = self._model(), list(dict.fromkeys(names))
        for name in wanted:
            if name not in self.known:
                raise unknown("adapter that this model had", name, self.known)
        with self.lock:
            for name in self.plugged:
                if name not in wanted:
                    model.unplug(name)
            for name in wanted:
                if name not in model.adapters:
                    model.plug(name, self.known[name])
        self.refresh()

    def refresh(self) -> None:
        """Notice what was plugged or unplugged, and tell the listeners if anything was."""
        model = self._model()
        if model is None:
            return
        self.known.update(model.adapters.items())
        if model.mapping is not None:
            self.mappings[model.mapping.name] = model.mapping
        if self._told != (now := (self.plugged, self.mapping)):
            self._told = now
            self._listeners = [listener for listener in self._listeners if listener() is not None]
            for listener in list(self._listeners):
                if (call := listener()) is not None:
                    call()

    def listen(self, method: Callable[[], None]) -> None:
        """Call a bound method after every change, as long as its object lives."""
        self._listeners.append(weakref.WeakMethod(method))

    @classmethod
    def refresh_all(cls, *_: Any) -> None:
        """Notice what a cell did with `model.plug` and `model.unplug`."""
        for plugs in list(cls._all.values()):
            plugs.refresh()


def _after_cells() -> None:
    """Have `refresh_all` called after every cell, once, where there are cells."""
    from IPython import get_ipython

    shell = get_ipython()
    if shell is not None and Plugs.refresh_all not in shell.events.callbacks["post_run_cell"]:
        shell.events.register("post_run_cell", Plugs.refresh_all)


class AdapterSwitch(StaticView):
    """The plugged adapters of a model as switches; unplugged ones are kept to be plugged again.

    Args:
        show: `show(model)` gives what stands below the switches (anything that notebooks show as HTML); called again
            after every change, in the background.

    Attributes:
        plugged: names of the plugged adapters; observe it (`switch.observe(callback, "plugged")`), or assign to it.
    """

    plugged = traitlets.Tuple()

    def __init__(self, model: KnowledgeModel, show: Callable[[KnowledgeModel], Any] | None = None) -> None:
        self.model, self._plugs, self._show = model, Plugs.of(model), show
        self._boxes: dict[str, ipywidgets.Checkbox] = {}
        self._message, self._below = ipywidgets.HTML(), ipywidgets.HTML()
        self._rows = ipywidgets.VBox()
        self.work = Work()
        super().__init__([self._rows, self._below, self.work.box, self._message])
        self._plugs.listen(self._read)
        self._read()

    @traitlets.observe("plugged")
    def _write(self, change: Any) -> None:
        if change["new"] == self._plugs.plugged:
            return

        def apply() -> None:
            self._plugs.assign(change["new"])

        try:
            safely(apply, lambda text: setattr(self._message, "value", text))
        finally:
            self._read()

    def _read(self) -> None:
        """Show the model as it is now."""
        names = self._plugs.names
        if list(self._boxes) != names:
            self._boxes = {name: self._box(name) for name in names}
            facts = [ipywidgets.HTML(style.note(describe(self._plugs.known.get(n)))) for n in names]
            rows = [ipywidgets.HBox(pair) for pair in zip(self._boxes.values(), facts, strict=True)]
            self._rows.children = rows or [ipywidgets.HTML(style.note("This model has no adapters."))]
        for name, box in self._boxes.items():
            box.value = name in self._plugs.plugged
        if self._show is not None and (self.plugged != self._plugs.plugged or not self._below.value):
            self.work.submit(self._compute, self._put, lambda problem: self._fail(style.message(problem)))
        self.plugged = self._plugs.plugged
        self.changed()

    def _compute(self, progress: Progress) -> str:
        progress(0.5, "computing")
        with self._plugs.lock:
            shown: Any = None if self._show is None else self._show(self.model)
        found = shown._repr_html_() if hasattr(shown, "_repr_html_") else None
        return found or f"<pre>{escape(str(shown))}</pre>"

    def _put(self, html: str) -> None:
        self._below.value = html
        self.changed()

    def _fail(self, text: str) -> None:
        self._message.value = style.error(text)

    def _box(self, name: str) -> ipywidgets.Checkbox:
        box = ipywidgets.Checkbox(
            value=name in self._plugs.plugged, description=f"adapter {name}", indent=False,
            disabled=name not in self._plugs.known, tooltip=f"Plug or unplug the adapter {name}",
            layout={"width": "160px"},
        )  # fmt: skip
        box.observe(lambda change: self._toggle(name, change["new"]), "value")
        return box

    def _toggle(self, name: str, on: bool) -> None:
        if on != (name in self._plugs.plugged):
            safely(lambda: self._plugs.set(name, on), lambda text: setattr(self._message, "value", text))
            self._read()

    def summary(self) -> str:
        states = [f"{n} {'plugged' if n in self._plugs.plugged else 'unplugged'}" for n in self._plugs.names]
        return f"AdapterSwitch({', '.join(states) or 'no adapters'})"

    def picture(self) -> str:
        rows = "".join(
            f"<tr><td>{escape(n)}</td><td>{'plugged' if n in self._plugs.plugged else 'unplugged'}</td>"
            f"<td>{escape(describe(self._plugs.known.get(n)))}</td></tr>"
            for n in self._plugs.names
        )
        head = "<tr><th>adapter</th><th>now</th><th>trained on</th></tr>"
        table = f'<table class="kadapter-table">{head}{rows}</table>' if rows else "<p>This model has no adapters.</p>"
        return table + self._below.value


def describe(adapter: KnowledgeAdapter | None) -> str:
    """What an adapter was trained on, in one line: knowledge, data set, examples, scores on dev, size."""
    if adapter is None:
        return "saved without its adapter: plug one with model.plug(...)"
    trained, facts = adapter.provenance, []
    if trained.get("knowledge"):
        facts.append(f"{trained['knowledge']} knowledge")
    else:
        facts.append(str(trained.get("name") or "not trained: no knowledge"))
    if trained.get("dataset"):
        examples = f" ({trained['examples']:,} examples)" if isinstance(trained.get("examples"), int) else ""
        facts.append(f"trained on {trained['dataset']}{examples}")
    for metric, score in (trained.get("dev_scores") or {}).items():
        if metric not in ("precision", "recall"):
            mean = score["mean"] if isinstance(score, dict) else score
            facts.append(f"dev {metric} {mean:.3f}")
    facts.append(f"{sum(p.numel() for p in adapter.parameters()):,} parameters")
    facts.append(f"reads hidden states {', '.join(map(str, adapter.config.plug_layers))}")
    return " · ".join(facts)
