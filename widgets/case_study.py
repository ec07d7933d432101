"""The case-study workbench: cases of several models side by side, filtered, edited and exported (Tables 6 and 7 of the
paper, alive)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ipywidgets
from datasets import Dataset

from kadapter import runs
from kadapter.cases import inference
from kadapter.cases.cases import Cases
from kadapter.cases.table import Case, plugged_name
from kadapter.errors import KAdapterError
from kadapter.graphs.surfaces import Surfaces
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.model.mapping import EntityMapping
from widgets import style
from widgets.adapter_switch import Plugs
from widgets.background import Progress, Work
from widgets.case_list import CaseList
from widgets.export_box import ExportBox
from widgets.insights import Insights
from widgets.link_box import LinkBox, offer, surfaces_of
from widgets.live import Answer, LiveBox, Models
from widgets.predictions import Answers, Shown
from widgets.static_view import StaticView

PAUSE = 0.25  # seconds without a key before a sentence is answered


class CaseStudy(StaticView):
    """Several models on the same examples, side by side.

    Args:
        models: name -> model, or the folder that `save_pretrained` or a fine-tuning run left.
        data: the cases that they answered (`cases.Cases`, with these names), or a dataset of the models' task,
            which they answer now, in the background.
        model: whose cases; "" for `F`, or the last one.
        against: compared with; "" for `backbone`, or the first one.
        export_to: the folder that exports are written to; None: the browser downloads them.
        mappings: name -> a mapping, or its folder, that can be plugged into every model that it was made for.
        surfaces: name -> ids of the entities that a sentence may name (`kadapter.graphs.surfaces`), beside those that
            are linked in `data`.

    Raises KAdapterError for an unknown name of a model.

    Attributes:
        list: filters and pages (`CaseList`).
        live: the sentence that is edited, the adapters that are plugged (`LiveBox`).
        linked: the mappings that are plugged, the entities in the sentence (`LinkBox`).
        answers: tables and bars (`Answers`), the first of the `tabs`.
        insights: what each token and plug layer adds, and representations before and after an adapter (`Insights`).
        export: the chosen cases (`ExportBox`).
        work: what runs in the background (`Work`); `work.wait()` in scripts.
    """

    def __init__(
        self,
        models: Mapping[str, KnowledgeModel | str | Path],
        data: Cases | Dataset,
        model: str = "",
        against: str = "",
        export_to: str | Path | None = ".",
        mappings: Mapping[str, EntityMapping | str | Path] | None = None,
        surfaces: Surfaces | None = None,
    ) -> None:
        self._mappings = dict(mappings or {})
        named = surfaces_of(data) if isinstance(data, Dataset) else {}
        self.linked = LinkBox(named | dict(surfaces or {}), self._plug_mapping, lambda: self._ask(0.0))
        self.models = Models({name: _saved(source) for name, source in models.items()})
        self.work = Work(cancelled=lambda: self._say("Cancelled: the answers are those from before."))
        self._message = ipywidgets.HTML()
        self._progress = ipywidgets.VBox([self.work.box, self._message])
        self._body = ipywidgets.VBox([self._progress])  # at first alone, then right below the sentence
        self._model, self._against, self._export_to = model, against, export_to
        self.cases: Any = None  # `Cases`, once every model has answered
        self._wanted: dict[tuple[str, str], bool] = {}  # adapters toggled before their models were loaded
        super().__init__([self._body])
        if isinstance(data, Cases):
            self._open(data)
        else:
            self._submit(lambda progress: self._answer_all(data, progress), self._open)

    @classmethod
    def from_runs(
        cls,
        folders: Sequence[str | Path],
        seed: int | None = None,
        model: str = "",
        against: str = "",
        export_to: str | Path | None = ".",
    ) -> "CaseStudy":
        """The test examples of fine-tuning runs, with the answers that the runs kept; their models are loaded when the
        first sentence is edited. Or the facts that the run of a probe asked all its models for, to look at alone.

        Raises KAdapterError as `Cases.from_runs` does."""
        cases = Cases.from_runs(folders, seed)
        sources = folders if not cases.asked else [folders[0]] * len(cases.models)
        return cls(dict(zip(cases.models, sources, strict=True)), cases, model, against, export_to)

    # --- what is shown ---

    def _open(self, cases: Cases) -> None:
        self.cases = cases
        names, adapter_names = cases.models, self.models.adapter_names()
        if set(names) != set(adapter_names):
            raise KAdapterError(f"the cases are of models {names}, but the models given are {list(adapter_names)}")
        model = self._model or ("F" if "F" in names else names[-1])
        against = self._against or ("backbone" if "backbone" in names else names[0])
        cases.model(model), cases.model(against)  # an unknown name is refused here
        adapter_names = {name: adapter_names[name] for name in names}
        self.list = CaseList(cases, model, against)
        self._adapter_names = adapter_names
        self.live = LiveBox(cases, adapter_names, self._progress, self._edited, self._judged, self._toggled, self._fail)
        self.answers = Answers(cases.labels, cases.independent, cases.task.rule, adapter_names)
        self.export = ExportBox(cases.labels, cases.independent, self._exported, self._k, self._export_to)
        self.insights = Insights(
            cases, self.models, adapter_names, model, lambda: None if self.answers.stale else self.shown,
            lambda: self.list.found, self._loaded, self.export.deliver,
        )  # fmt: skip
        self.tabs = self.insights.tabs(self.answers)
        # facts that were asked for are looked at alone: `Cloze` asks what one types
        editing = () if cases.asked else (style.heading("Edit the sentence, unplug an adapter"), self.live, self.linked)
        self._body.children = (
            style.heading("Cases"), self.list, *editing, self.answers if cases.asked else self.tabs,
            style.heading("Export"), self.export,
        )  # fmt: skip
        self.list.observe(lambda _: self._chosen(), "case")
        self.list.observe(lambda _: self.insights.map.forget(), "filtered")
        self.live.k.observe(lambda _: self._show(self.shown), "value")
        self.live.reset.on_click(lambda _: self._chosen())
        self.live.start.on_click(lambda _: self._ask(0.0))
        if self.models.ready:
            self._bind()
        self._chosen()

    @property
    def shown(self) -> Shown | None:
        """What is shown now; None while no case passes the filters."""
        return self.answers.shown

    def _exported(self) -> Case | None:
        """The case that is shown, with rows that say what was plugged."""
        if self.answers.stale:
            raise KAdapterError("the answers shown are out of date: wait for the new ones, or mend the sentence")
        return None if self.shown is None else self.shown.named()

    def _k(self) -> int:
        return self.live.k.value

    def _chosen(self) -> None:
        """Another case, as it stands in the data."""
        index = self.list.case
        if index < 0:
            self.work.cancel()
            self._show(None)
            return
        case = self.cases[index]
        self.live.edit(inference.write_marked(case.text, case.mentions))
        self._say("")
        names = {name: name for name in self.cases.models}
        self._show(Shown(case, self._kept(index), names, source="answers of the runs on their test set"))
        if self.models.ready or not all(button.value for button in self.live.toggles.values()):
            self._ask(0.0)

    def _kept(self, index: int) -> dict[str, list[str]]:
        """Model -> what it answered to a case of the data, with all its adapters."""
        return {name: self.cases.answer(name, index) for name in self.cases.models}

    def _show(self, shown: Shown | None) -> None:
        if self.shown is None or shown is None or self.shown.case.logits is not shown.case.logits:
            self.insights.forget(shown)
        self.answers.show(shown, self._k())
        self.changed()

    def _say(self, text: str) -> None:
        self._message.value = style.note(text)

    def _fail(self, text: str) -> None:
        self._message.value = style.error(text)

    # --- live answers ---

    def _submit(self, job: Any, done: Any, delay: float = 0.0) -> None:
        def finish(result: Any) -> None:
            try:
                done(result)
            except Exception as problem:
                self._fail(style.message(problem))

        self.work.submit(job, finish, lambda problem: self._fail(style.message(problem)), delay)

    def _edited(self) -> None:
        if self.list.case >= 0:
            self._ask(PAUSE)

    def _judged(self) -> None:
        """Somebody said what is true of the edited sentence."""
        if self.shown is not None and self.shown.original is not None:
            self._show(replace(self.shown, case=replace(self.shown.case, true=self.live.truth)))

    def _toggled(self, model: str, adapter: str, on: bool) -> None:
        if self.models.ready:
            try:
                Plugs.of(self.models.loaded[model]).set(adapter, on)  # `_replugged` hears of it
            except KAdapterError as problem:
                self._fail(style.message(problem))
                self._replugged()
        else:
            self._wanted[model, adapter] = on
            self._ask(0.0)

    def _bind(self) -> None:
        """The models are there: toggle what was toggled before, and hear of every plug from now on."""
        for (model, adapter), on in self._wanted.items():
            Plugs.of(self.models.loaded[model]).set(adapter, on)
        self._wanted.clear()
        offer(self._plugs, self._mappings, self.models.loaded)
        for plugs in self._plugs.values():
            plugs.listen(self._replugged)
        self.live.start.layout.display = "none"
        self._read_plugs()

    @property
    def _plugs(self) -> dict[str, Plugs]:
        """Of each model, once they are loaded."""
        return {name: Plugs.of(self.models.loaded[name]) for name in self.cases.models}

    def _plug_mapping(self, model: str, mapping: str, on: bool) -> None:
        try:
            self._plugs[model].set_mapping(mapping, on)  # `_replugged` hears of it
        except KAdapterError as problem:
            self._fail(style.message(problem))
            self._read_plugs()

    def _read_plugs(self) -> None:
        self.linked.show(self._plugs)
        for model, adapter in self.live.toggles:
            self.live.set_toggle(model, adapter, adapter in self.models.loaded[model].adapters)

    def _replugged(self) -> None:
        self.insights.map.forget()
        self._read_plugs()
        self._ask(0.0)

    def _bind_and_ask(self) -> None:
        self._bind()
        self._ask(0.0)

    def _ask(self, delay: float) -> None:
        """Answer the sentence as it stands, in the background; load the models first if they are not."""
        if self.list.case < 0:
            return
        self.answers.mark_stale(True)
        self.insights.why.forget()
        self.changed()
        if not self.models.ready:
            self._submit(self.models.load, lambda _: self._bind_and_ask(), delay)
            return
        sentence, index = self.live.sentence.value, self.list.case

        def answer(progress: Progress) -> tuple[dict[str, Answer], str]:
            text, _ = inference.read_marked(sentence)
            found = self.models.answer(sentence, progress, self.linked.links(text))
            models = {name: (model, self.models.tokenizer(name)) for name, model in self.models.loaded.items()}
            return found, self.linked.nearest(text, models)

        self._submit(answer, lambda found: self._answered(sentence, index, *found), delay)

    def _answered(self, sentence: str, index: int, found: Mapping[str, Answer], nearest: str) -> None:
        case, original, before = self.cases[index], None, {}
        text, spans = inference.read_marked(sentence)
        self.linked.read(text)
        self.linked.table.value = nearest
        if sentence != inference.write_marked(case.text, case.mentions):
            original, before = case, self._kept(index)
            mentions = [[start, end, role] for role, (start, end) in spans.items()]
            case = replace(case, text=text, mentions=mentions, example_id=f"{case.example_id} (edited)")
            case = replace(case, true=self.live.truth)
        self.live.ask_truth(original is not None)
        order = self.cases.models
        case = replace(case, logits={name: found[name].logits for name in order})
        self._say("")
        self._show(
            Shown(
                case,
                answers={name: found[name].labels for name in order},
                names={name: self._plugged_name(name, found[name]) for name in order},
                moves={name: found[name].moves for name in order if found[name].moves},
                source="answered now",
                original=original,
                before=before,
            )
        )

    def _plugged_name(self, name: str, answer: Answer) -> str:
        said = plugged_name(name, self._adapter_names[name], answer.plugged)
        return f"{said}, {answer.mapping} plugged" if answer.mapping else said

    def _loaded(self, job: Any, done: Any, failed: Any) -> None:
        """Run a job that needs the models in the background; load them first if they are not there."""

        def work(progress: Progress) -> Any:
            self.models.load(progress)
            return job(progress)

        def finish(result: Any) -> None:
            if self.live.start.layout.display != "none":
                self._bind()
            done(result)
            self.changed()

        self.work.submit(work, finish, lambda problem: failed(style.message(problem)))

    def _answer_all(self, examples: Dataset, progress: Progress) -> Cases:
        self.models.load(progress)
        pairs = {name: (model, self.models.tokenizer(name)) for name, model in self.models.loaded.items()}
        return Cases.from_models(pairs, examples, progress)

    # --- where nobody can click ---

    def summary(self) -> str:
        if self.cases is None:
            return "CaseStudy (its models are answering)"
        return f"CaseStudy of {len(self.cases):,} cases: {', '.join(self.cases.models)}"

    def picture(self) -> str:
        if self.cases is None:
            return "<p>The models are answering.</p>"
        counts = self.cases.counts(self.list.model.value, self.list.against.value)
        said = " · ".join(f"{number} {kind}" for kind, number in counts.items())
        compared = f"{self.list.model.value} against {self.list.against.value}: {said}"
        tabs = self.answers.picture() + self.insights.picture()
        return f"<p>{style.note(compared)}</p>{self.list.scores_html()}{tabs}{self.linked.table.value}"


def _saved(source: KnowledgeModel | str | Path) -> KnowledgeModel | Path:
    """A model as it is; of a run's folder the model in it."""
    if isinstance(source, KnowledgeModel):
        return source
    folder = runs.resolve(source)
    return folder / "model" if (folder / runs.RESULT).is_file() else folder
