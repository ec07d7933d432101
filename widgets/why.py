"""Why a model answers as it does, as a tab of the case study: what each token adds, which plug layer decides, where
adapter layers look."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

import ipywidgets
import numpy as np

from kadapter.cases.attribution import Attribution
from kadapter.report import explained
from widgets.picture import Picture
from widgets.predictions import share
from widgets.style import error, note

Layer = tuple[str, str, int]  # model, adapter, the hidden state that the adapter layer reads


@dataclass(frozen=True)
class Explanation:
    """Why several models give a label its logit.

    Attributes:
        label: whose logit.
        names: model -> its name, which says what is unplugged.
        tokens: model -> what each token adds.
        layers: layer -> the label's logit less that without the adapter layer.
        attention: (layer, transformer layer in it from 1) -> tokens, and (tokens, tokens) mean weights over heads.
    """

    label: str
    names: Mapping[str, str]
    tokens: Mapping[str, Attribution]
    layers: Mapping[Layer, float]
    attention: Mapping[tuple[Layer, int], tuple[list[str], np.ndarray]]


class Why(ipywidgets.VBox):
    """Explains one label of what is shown, when asked to.

    Args:
        labels: the labels that can be explained.
        explain: called when an explanation is wanted.
        export: called with nothing; writes the explanation as LaTeX and says where in HTML.

    Attributes:
        label: whose logit is explained.
        explanation: what is shown; None before it is asked for, and after the sentence or an adapter has changed.
    """

    def __init__(self, labels: Sequence[str], explain: Callable[[], None], export: Callable[[], str]) -> None:
        self.explanation: Explanation | None = None
        self._export = export
        self.label = ipywidgets.Dropdown(description="Label", options=list(labels), tooltip="Whose logit is explained")
        self.start = ipywidgets.Button(
            description="Explain", icon="search", tooltip="What each token and each adapter layer adds to the logit"
        )
        self.latex = ipywidgets.Button(
            description="LaTeX", icon="download", tooltip="Write the explanation as LaTeX", layout={"display": "none"}
        )
        self.where = ipywidgets.Dropdown(
            description="Attention of", tooltip="Which layer's attention, the mean over its heads",
            layout={"width": "420px", "display": "none"}, style={"description_width": "90px"},
        )  # fmt: skip
        self._text, self._said, self._picture = ipywidgets.HTML(), ipywidgets.HTML(), Picture()
        super().__init__(
            [
                ipywidgets.HBox([self.label, self.start, self.latex], layout={"flex_flow": "row wrap"}),
                self._said, self._text, self.where, self._picture,
            ]
        )  # fmt: skip
        self.start.on_click(lambda _: explain())
        self.label.observe(lambda _: self.forget(), "value")
        self.latex.on_click(lambda _: self._write())
        self.where.observe(lambda _: self._look(), "value")
        self.forget()

    def choose(self, label: str) -> None:
        """Explain this label next."""
        self.label.value = label

    def forget(self) -> None:
        """Take an explanation away that is of another sentence, label or model."""
        self.explanation, self._said.value = None, ""
        self._text.value = note("Nothing is explained yet: press Explain. It takes some seconds for each model.")
        self.latex.layout.display = self.where.layout.display = "none"
        self._picture.show(None)

    def show(self, found: Explanation) -> None:
        """Show an explanation."""
        self.explanation = found
        self._text.value = self._tokens(found) + self._layers(found)
        self.latex.layout.display = ""
        places = [(f"{_layer(found, layer)}, transformer layer {n}", (layer, n)) for layer, n in found.attention]
        self.where.options = places
        self.where.layout.display = "" if places else "none"
        self.where.value = places[-1][1] if places else None
        self._look()

    def fail(self, text: str) -> None:
        """Say in one sentence what went wrong."""
        self._said.value = error(text)

    def picture(self) -> str:
        """The same as HTML with a drawing, for who cannot click; "" while nothing is explained."""
        if self.explanation is None:
            return ""
        return f"<h4>Why {escape(self.explanation.label)}</h4>{self._text.value}{self._picture.drawing()}"

    def named_layers(self) -> dict[str, float]:
        """Name of an adapter layer -> what it adds."""
        found = self.explanation
        return {} if found is None else {_layer(found, layer): move for layer, move in found.layers.items()}

    def _write(self) -> None:
        try:
            self._said.value = self._export()
        except ValueError as problem:
            self.fail(str(problem))

    def _look(self) -> None:
        found = self.explanation
        if found is None or self.where.value not in found.attention:
            self._picture.show(None)
            return
        tokens, weights = found.attention[self.where.value]
        self._picture.show(explained.attention(tokens, weights, self.where.label))

    @staticmethod
    def _tokens(found: Explanation) -> str:
        most = max(float(np.abs(each.scores).max()) for each in found.tokens.values()) or 1.0
        rows = []
        for model, each in found.tokens.items():
            boxes = "".join(_box(token, score, most) for token, score in zip(each.tokens, each.scores, strict=True))
            said = note(f"logit {each.logit:+.2f}, {each.masked:+.2f} with every token masked")
            rows.append(
                f'<p><b>{escape(found.names[model])}</b> {said}<br><span class="kadapter-why">{boxes}</span></p>'
            )
        title = f"What each token adds to the logit of <b>{escape(found.label)}</b>: blue and + add, orange and − take."
        return f"<p>{title}</p>{''.join(rows)}"

    @staticmethod
    def _layers(found: Explanation) -> str:
        if not found.layers:
            return f"<p>{note('No adapter is plugged: no plug layer decides.')}</p>"
        most = max(found.layers, key=lambda layer: abs(found.layers[layer]))
        rows = "".join(
            f"<tr><td>{escape(_layer(found, layer))}</td><td>{move:+.2f}</td>"
            f"<td>{'decides most' if layer == most else ''}</td></tr>"
            for layer, move in found.layers.items()
        )
        head = "<tr><th>adapter layer</th><th>logit with it − without it</th><th></th></tr>"
        return f'<table class="kadapter-table">{head}{rows}</table>'


def _layer(found: Explanation, layer: Layer) -> str:
    model, adapter, plug = layer
    return f"{share(model, adapter)}, hidden state {plug}"


def _box(token: str, score: float, most: float) -> str:
    """A token above its number, on the colour of its share."""
    colour = "0, 114, 178" if score >= 0 else "213, 94, 0"
    look = "display: inline-block; text-align: center; padding: 1px 4px; margin: 1px; line-height: 1.25"
    paper = f"background: rgba({colour}, {0.65 * abs(score) / most:.2f})"
    return f'<span style="{look}; {paper}">{escape(token)}<br><small>{score:+.2f}</small></span>'
