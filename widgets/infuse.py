"""Paste facts, press the button, ask: knowledge of one's own in a language model, beside the model without it."""

import hashlib
import tempfile
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets
import traitlets

from kadapter import runs
from kadapter.errors import KAdapterError
from kadapter.experiment.infusion import Infusion, infuse, load
from kadapter.knowledge import own
from kadapter.model.backbone import Backbone
from kadapter.report.infusion import PAGE, write
from kadapter.training.language import language_model
from widgets import style
from widgets.background import Progress, Work
from widgets.cloze import Cloze
from widgets.static_view import StaticView

PLACEHOLDER = """One fact a line: subject, relation, object, with commas or tabs between:
Marta Hollenbeck, born in, Ravensburg
or a question with its answer, or a sentence: [Marta Hollenbeck] was born in {Ravensburg}."""
FEW = 10  # examples that are shown


class Infuse(StaticView):
    """A box for facts, a button that trains an adapter on them, what it learned, and a sentence to ask with.

    Args:
        facts: what stands in the box at the start.
        backbone: name, Hub id or folder of a language model.
        minutes: how long it may take.
        folder: where adapters go, each under a name of its own; the same facts are not trained again.

    Attributes:
        facts: assign to it, or type.
        found: the last infusion; None before there is one.
        asked: the `Cloze` that asks; None before there is one.
    """

    facts = traitlets.Unicode()

    def __init__(
        self,
        facts: str = "",
        backbone: str = "smollm2",
        minutes: float | int = 2.0,
        folder: str | Path = "own_adapters",
    ) -> None:
        self._named, self._minutes, self._folder = backbone, minutes, runs.resolve(folder)
        self._backbone: Backbone | None = None
        self.found: Infusion | None = None
        self.asked: Cloze | None = None
        self._problem: Exception | None = None
        self._box = ipywidgets.Textarea(
            value=facts, placeholder=PLACEHOLDER, rows=10, layout={"width": "min(100%, 720px)"},
        )  # fmt: skip
        self._box.tooltip = "Your facts, one a line"
        self._button = ipywidgets.Button(
            description="Infuse", icon="play", button_style="primary", tooltip="Train an adapter on these facts",
        )  # fmt: skip
        self._button.on_click(lambda _: self.start())
        self._said, self._error, self._result = ipywidgets.HTML(), ipywidgets.HTML(), ipywidgets.HTML()
        self._ask = ipywidgets.VBox()
        self.work = Work(cancelled=self._cancelled)
        controls = ipywidgets.HBox([self._button, self.work.box])
        super().__init__([self._box, self._said, controls, self._error, self._result, self._ask])
        traitlets.link((self._box, "value"), (self, "facts"))
        self._count()

    @traitlets.observe("facts")
    def _typed(self, change: Any) -> None:
        if hasattr(self, "_ask"):
            self._count()

    def _count(self) -> None:
        """Say at once what the box holds."""
        said, fine = "", False
        if self.facts.strip():
            try:
                found = self._read()
                many = f"{len(found):,} {'sentences' if found.trees is not None else 'facts'} ({found.kind})"
                said, fine = "; ".join([many, *found.told(3)]), True
            except KAdapterError as problem:
                said = style.message(problem)
        self._said.value = f'<span role="status" class="kadapter-note">{escape(said)}</span>'
        self._button.disabled = not fine or self.work.busy
        self.changed()

    def _file(self) -> Path:
        """The facts as a file, whose name is made of them."""
        digest = hashlib.sha256(f"{self._named}\n{self.facts}".encode()).hexdigest()[:8]
        path = self._folder / f"own-{digest}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.facts, encoding="utf-8")
        return path

    def _read(self) -> own.Own:
        """What the box holds; nothing is left behind."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "box"
            path.write_text(self.facts, encoding="utf-8")
            try:
                return own.read(path)
            except KAdapterError as problem:
                raise KAdapterError(str(problem).replace(str(path), "the box")) from None

    def start(self) -> None:
        """What the button does."""
        self._button.disabled = True
        self._error.value, self._problem = "", None
        self.work.submit(self._compute, self._put, self._fail)

    def run(self, facts: str = "") -> Infusion:
        """The last infusion, waited for where one runs; without one, that of `facts`. For scripts and papermill.

        Raises what went wrong.
        """
        if self.found is None and not self.work.busy:
            self.facts = self.facts or facts
            self.start()
        self.work.wait(60 * self._minutes + 1800)
        if self.asked is not None:
            self.asked.work.wait()
        if self._problem is not None:
            raise self._problem
        assert self.found is not None
        return self.found

    def _compute(self, progress: Progress) -> tuple[Infusion, dict]:
        progress(0.0, "loading the model")
        if self._backbone is None:
            self._backbone = Backbone(self._named)
        file = self._file()
        out = file.with_suffix("")
        if out.is_dir():
            found = load(out)
        else:
            found = infuse(file, self._backbone, out, minutes=self._minutes, tell=progress, progress=False)
            write(found)
        if found.summary["kind"] == "conllu":
            return found, {}
        plain = language_model(self._backbone)
        return found, {self._named: plain, f"{self._named} + yours": language_model(self._backbone, {"yours": out})}

    def _put(self, done: tuple[Infusion, dict]) -> None:
        self.found, models = done
        self._result.value = self._table(self.found)
        if models:
            first = self.found.details["examples"][0]
            self.asked = Cloze(models, first["text"], first["true"])
            self._ask.children = (ipywidgets.HTML("<h4>Ask</h4>"), self.asked)
        self._count()

    def _fail(self, problem: Exception) -> None:
        self._problem = problem
        self._error.value = style.error(style.message(problem))
        self._count()

    def _cancelled(self) -> None:
        self._error.value = style.error("stopped: the same facts go on where they were")
        self._count()

    def _table(self, found: Infusion) -> str:
        """What was learned, what was not touched, and examples."""
        s, details = found.summary, found.details

        def share(value: float | None) -> str:
            return "-" if value is None else f"{value:.0%}"

        rows = [
            ("as they were read", share(s["seen_before"]), share(s["seen_after"]), share(details["control_seen"])),
            ("as they were never read", share(s["paraphrase_before"]), share(s["paraphrase_after"]),
             share(s["control_after"])),
        ]  # fmt: skip
        if s["perplexity_before"] is not None:
            before, after = (f"{s[f'perplexity_{when}']:.2f}" for when in ("before", "after"))
            rows.append(("perplexity of other text", before, after, ""))
        head = "".join(f"<th>{escape(name)}</th>" for name in (details["metric"], "before", "after", "control"))
        body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        examples = "".join(
            f"<tr><td>{escape(each['text'])}</td><td>{escape(each['true'])}</td><td>{escape(each['before'])}</td>"
            f"<td>{escape(each['after'])}</td></tr>"
            for each in details["examples"][:FEW]
        )
        names = "".join(f"<th>{name}</th>" for name in ("asked", "true", "before", "after"))
        return (
            f'<table class="kadapter-infused"><tr>{head}</tr>{body}</table>'
            f'<table class="kadapter-infused"><tr>{names}</tr>{examples}</table>'
            f"<p>The adapter: <code>{escape(str(found.folder))}</code>, its page: <code>{PAGE}</code></p>"
        )

    def summary(self) -> str:
        if self.found is None:
            return f"Infuse({self._named!r}: nothing yet)"
        s = self.found.summary
        return (
            f"Infuse({self._named!r}: {s['items']} {s['kind']}, answered as never read: {s['paraphrase_before']:.0%} "
            f"before, {s['paraphrase_after']:.0%} after)"
        )

    def picture(self) -> str:
        asked = self.asked.picture() if self.asked is not None else ""
        box = f"<pre>{escape(self.facts)}</pre>" if self.facts.strip() else "<p>The box is empty.</p>"
        return box + self._said.value + self._error.value + self._result.value + asked
