"""The case study as an application: what `make app` serves, from the runs that are there."""

import os
from pathlib import Path
from typing import Any

import ipywidgets

from kadapter import runs
from kadapter.report.rendering import by_model
from widgets import style
from widgets.background import Progress, Work
from widgets.case_study import CaseStudy

ROOT = "KADAPTER_RUNS"  # environment variable: the folder of runs; the checkout's `runs` where it is not set
PRESETS = ("embedded", "miniature", "notebook")  # the first of these with finished runs, else any other
CLASSIFICATION = ("relation", "typing")


def studies(root: str | Path | None = None) -> dict[str, list[Path]]:
    """`preset · task · regime` -> the folders of its finished fine-tuning runs, in the order of model rows; the best
    known preset first. {} if no run of a classification task is finished."""
    base = Path(root or os.environ.get(ROOT) or runs.notebooks_folder().parent / "runs").absolute()
    made = sorted({path.parents[2].name for path in base.glob(f"*/finetune/*/{runs.RESULT}")})
    order = sorted(made, key=lambda name: (PRESETS.index(name) if name in PRESETS else len(PRESETS), name))
    found: dict[str, list[runs.Result]] = {}
    for preset in order:
        for run in runs.find(base, preset):
            if run.path.parent.name == "finetune" and _task(run) in CLASSIFICATION:
                found.setdefault(f"{preset} · {run.data['task']} · {run.data['regime']}", []).append(run)
    return {name: [r.path for r in sorted(own, key=lambda r: by_model(r.data["model"]))] for name, own in found.items()}


class App(ipywidgets.VBox):
    """Chooses among the studies of `studies(root)` and shows one. Without any it says so, and offers to make a small
    experiment, which takes a minute or two.

    Attributes:
        choice: the studies.
        study: the `CaseStudy` that is shown; None while there is none.
    """

    def __init__(self, root: str | Path | None = None) -> None:
        self._root = root
        self.study: CaseStudy | None = None
        self.choice = ipywidgets.Dropdown(description="Runs", tooltip="Which runs to study", layout={"width": "420px"})
        self._make = ipywidgets.Button(
            description="Make a small one", icon="play", tooltip="Train a small adapter on a small invented world"
        )
        self._message, self._place = ipywidgets.HTML(), ipywidgets.VBox()
        self._work = Work(lambda: self._say(style.error("Stopped: what was finished until then is kept.")))
        super().__init__([self.choice, self._message, self._make, self._work.box, self._place, style.sheet()])
        self.add_class("kadapter")
        self.choice.observe(lambda _: self._open(), "value")
        self._make.on_click(lambda _: self._train())
        self._look()

    def _look(self) -> None:
        self._studies = studies(self._root)
        self._make.layout.display = "none" if self._studies else ""
        self.choice.layout.display = "" if self._studies else "none"
        if not self._studies:
            self._say(
                "<p>No finished run is here yet. <code>make run</code> makes all of them (some minutes), then reload "
                "this page; or make a small one now (a minute or two).</p>"
            )
        self.choice.options = list(self._studies)
        self.choice.value = next(iter(self._studies), None)

    def _open(self) -> None:
        if self.choice.value is None:
            return
        try:
            self.study = CaseStudy.from_runs(self._studies[self.choice.value], export_to=None)
            self._place.children = (self.study,)
            self._say("")
        except Exception as problem:
            self.study, self._place.children = None, ()
            self._say(style.error(style.message(problem)))

    def _train(self) -> None:
        from kadapter.experiment import notebook_runs  # trains: only who asks for it loads what that needs

        def job(progress: Progress) -> None:
            stages = ("data/all", "pretrain/F", "finetune/typing-frozen-backbone", "finetune/typing-frozen-F")
            for number, stage in enumerate(stages):
                progress(number / len(stages), f"making {stage}")
                notebook_runs.run(stage, progress=False)

        def done(_: Any) -> None:
            self._look()

        self._make.layout.display = "none"
        self._work.submit(job, done, lambda problem: self._say(style.error(style.message(problem))))

    def _say(self, html: str) -> None:
        self._message.value = html


def _task(run: runs.Result) -> str:
    """The catalog's name of a run's task."""
    return (runs.read_json(run.path / "task.json") or {}).get("name", "")
