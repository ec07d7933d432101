"""What the tabs beside the answers compute: why a model answers so, and where its representations lie."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets
import numpy as np

from kadapter.cases import attribution, exports, inference, projection
from kadapter.cases.table import CaseTable
from widgets.adapter_switch import Plugs
from widgets.background import Progress
from widgets.case_map import MOST, CaseMap
from widgets.live import Models
from widgets.predictions import Shown
from widgets.why import Explanation, Why

Job = Callable[[Progress], Any]


class Insights:
    """The tabs Why and Representations of a case study.

    Args:
        adapter_names: model -> the adapters that it was built with.
        model: whose representations are drawn first.
        shown: gives what is shown, or None where nothing is, or what is answers something else than is asked now.
        found: gives the indices of the cases that pass the filters.
        run: runs a job that needs the loaded models in the background: called with the job, what becomes of its result,
            and who is told its mistake.
        deliver: writes a text as a file: called with text, stem, suffix and what it is; returns HTML.

    Attributes:
        why, map: the tabs.
    """

    def __init__(
        self,
        cases: CaseTable,
        models: Models,
        adapter_names: Mapping[str, Sequence[str]],
        model: str,
        shown: Callable[[], Shown | None],
        found: Callable[[], np.ndarray],
        run: Callable[[Job, Callable[[Any], None], Callable[[str], None]], None],
        deliver: Callable[[str, str, str, str], str],
    ) -> None:
        self._cases, self._models, self._shown, self._found = cases, models, shown, found
        self._run, self._deliver = run, deliver
        self.why = Why(cases.labels, self._explain, self._write)
        self.map = CaseMap(adapter_names, model, self._draw)

    def tabs(self, answers: ipywidgets.Widget) -> ipywidgets.Tab:
        """The answers and these tabs beside them."""
        return ipywidgets.Tab([answers, self.why, self.map], titles=["Answers", "Why", "Representations"])

    def forget(self, shown: Shown | None) -> None:
        """Other answers: what was explained was of those before. Next is the true label, or the last model's best."""
        self.why.forget()
        if shown is not None:
            best = self._cases.labels[int(list(shown.case.logits.values())[-1].argmax())]
            self.why.choose((shown.case.true or [best])[0])

    def picture(self) -> str:
        """What was asked for, as HTML with drawings."""
        return self.why.picture() + self.map.picture()

    def _explain(self) -> None:
        shown = self._shown()
        if shown is None:
            self.why.fail("there are no answers to explain: choose a case, or mend the sentence first")
            return
        sentence, label = inference.write_marked(shown.case.text, shown.case.mentions), self.why.label.value
        self._run(
            lambda progress: explain(self._models, shown.names, sentence, label, progress),
            self.why.show,
            self.why.fail,
        )

    def _write(self) -> str:
        found = self.why.explanation
        tokens = {found.names[model]: each for model, each in found.tokens.items()} if found else {}
        return self._deliver(exports.why_latex(tokens, self.why.named_layers()), "why", "tex", "1 explanation")

    def _draw(self) -> None:
        found, name, method = self._found(), self.map.model.value, self.map.method.value
        chosen = [self._cases[i] for i in found[:MOST].tolist()]
        sentences = [inference.write_marked(case.text, case.mentions) for case in chosen]

        def job(progress: Progress) -> dict[str, np.ndarray]:
            model = self._models.loaded[name]
            progress(0.2, f"{name} reads {len(sentences)} cases")
            with Plugs.of(model).lock:
                vectors = projection.representations(model, self._models.tokenizer(name), sentences)
            points = {}
            for number, (of, each) in enumerate(vectors.items()):
                progress(0.5 + 0.5 * number / len(vectors), f"projecting {of}")
                points[of] = projection.project(each, method)
            return points

        labels = [exports.true_label(case) for case in chosen]
        self._run(job, lambda points: self.map.show(points, labels, sentences, len(found)), self.map.fail)


def explain(models: Models, names: Mapping[str, str], sentence: str, label: str, progress: Progress) -> Explanation:
    """Why each loaded model gives a label its logit in a marked sentence. `names` say what is plugged."""
    tokens, layers, looks = {}, {}, {}
    for number, (name, model) in enumerate(models.loaded.items()):
        progress(number / len(models.loaded), f"explaining {name}")
        tokenizer = models.tokenizer(name)
        with Plugs.of(model).lock:
            tokens[name] = attribution.attribute(model, tokenizer, sentence, label)
            position = model.require_task().labels.index(label)
            for (adapter, plug), move in attribution.knockouts(model, tokenizer, sentence).items():
                layers[name, adapter, plug] = float(move[position])
            for adapter, module in model.adapters.items():
                words, weights = attribution.attention(model, tokenizer, sentence, adapter)
                for plug, inner in zip(module.config.plug_layers, weights.mean(2), strict=True):  # mean over heads
                    for place, look in enumerate(inner, start=1):
                        looks[(name, adapter, plug), place] = (words, look)
    order = [name for name in names if name in tokens]
    return Explanation(label, dict(names), {name: tokens[name] for name in order}, layers, looks)
