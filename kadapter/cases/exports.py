"""Chosen cases as files for a paper or a report: LaTeX in the layout of the paper's Table 7, Markdown and CSV.

Texts and labels are data: what LaTeX or Markdown would read as a command is escaped.
"""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from kadapter.cases.attribution import Attribution
from kadapter.cases.inference import probabilities
from kadapter.cases.table import NOT_ANSWERED, Case
from kadapter.errors import KAdapterError

NOT_GIVEN = "(not given)"  # stands for the true label of a sentence that a person wrote, until it is given
_TEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\char34{}",
} | {c: rf"\{c}" for c in "_&%#${}"}  # fmt: skip
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|~$:@>])")


def top(logits: np.ndarray, k: int) -> list[int]:
    """The positions of the k highest logits, highest first; of equal ones the first."""
    return np.argsort(-logits, kind="stable")[:k].tolist()


def true_label(case: Case) -> str:
    """The true labels of a case as they are shown."""
    return NOT_GIVEN if case.true is None else ", ".join(case.true) or NOT_ANSWERED


def pieces(text: str, mentions: Sequence[Sequence]) -> list[tuple[str, tuple[str, ...]]]:
    """A text cut at the borders of its mentions: (piece, the roles of the mentions that it lies in).

    >>> pieces("Ada met Bo", [[0, 3, "subject"], [8, 10, "object"]])
    [('Ada', ('subject',)), (' met ', ()), ('Bo', ('object',))]
    """
    borders = sorted({0, len(text), *(p for start, end, _ in mentions for p in (start, end))})
    return [
        (text[a:b], tuple(role for start, end, role in mentions if start <= a and b <= end))
        for a, b in zip(borders, borders[1:], strict=False)
    ]


def latex(cases: Sequence[Case], labels: Sequence[str], k: int = 3) -> str:
    """A `table*` in the layout of Table 7: input with its subject underlined and its object underlined in waves, true
    label, and each model's top k labels with their logits; true labels among them are bold.

    Raises KAdapterError without a case.
    """
    _check(cases)
    lines = []
    for case in cases:
        height = sum(min(k, len(found)) for found in case.logits.values())
        first = [
            rf"\multirow{{{height}}}{{=}}{{{_tex_sentence(case)}}}",
            rf"\multirow{{{height}}}{{*}}{{{tex(true_label(case))}}}",
        ]
        rows = []
        for name, found in case.logits.items():
            chosen = top(found, k)
            for rank, position in enumerate(chosen):
                label = tex(labels[position])
                label = rf"\textbf{{{label}}}" if labels[position] in (case.true or ()) else label
                model = "" if rank else rf"\multirow{{{len(chosen)}}}{{*}}{{{tex(name)}}}"
                rows.append(f"{model} & {label} & {found[position]:.2f}")
        lines.append(" \\\\\n & & ".join([" & ".join([*first, rows[0]]), *rows[1:]]) + r" \\")
    return "\n".join(
        [
            r"% needs \usepackage{booktabs,multirow} and \usepackage[normalem]{ulem}",
            r"\begin{table*}",
            r"\centering\small",
            r"\begin{tabular}{p{0.34\textwidth}lllr}",
            r"\toprule",
            rf"Input & True label & Model & Top-{k} labels & Logit \\",
            r"\midrule",
            "\n\\midrule\n".join(lines),
            r"\bottomrule",
            r"\end{tabular}",
            r"\caption{Case study. Underlines mark subjects, wavy lines mark objects; true labels are bold.}",
            r"\end{table*}",
            "",
        ]
    )


def markdown(cases: Sequence[Case], labels: Sequence[str], k: int = 3) -> str:
    """A table in Markdown: one line per case and model; the subject in [brackets], the object in {braces}, true labels
    among the top k bold.

    Raises KAdapterError without a case.
    """
    _check(cases)
    lines = [f"| input | true label | model | top-{k} labels | top-{k} logits |", "|---|---|---|---|---|"]
    for case in cases:
        for name, found in case.logits.items():
            chosen = top(found, k)
            shown = [md(labels[p]) for p in chosen]
            shown = [f"**{s}**" if labels[p] in (case.true or ()) else s for s, p in zip(shown, chosen, strict=True)]
            cells = [
                md(case.marked()), md(true_label(case)), md(name), ", ".join(shown),
                ", ".join(f"{found[p]:.2f}" for p in chosen),
            ]  # fmt: skip
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def table(cases: Sequence[Case], labels: Sequence[str], k: int = 3, independent: bool = False) -> str:
    """CSV with one line per case, model and label: `case`, `example_id`, `input` (marked), `true_label`, `model`,
    `rank` (from 1), `label`, `logit`, `probability`.

    Raises KAdapterError without a case.
    """
    _check(cases)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow("case example_id input true_label model rank label logit probability".split())
    for case in cases:
        fixed = [case.index, case.example_id, case.marked(), true_label(case)]
        for name, found in case.logits.items():
            chances = probabilities(found, independent)
            for rank, p in enumerate(top(found, k), start=1):
                writer.writerow([*fixed, name, rank, labels[p], f"{found[p]:.6g}", f"{chances[p]:.6g}"])
    return out.getvalue()


def why_latex(found: Mapping[str, Attribution], layers: Mapping[str, float]) -> str:
    """A `figure*` of one label's attributions, a line for each model: a token's box is bluer the more it adds to the
    logit, more orange the more it takes; below, how much each adapter layer adds.

    Args:
        found: name of a model -> the attributions of one sentence and label.
        layers: name of an adapter layer -> the label's logit less that without the layer.

    Raises KAdapterError without a model.
    """
    if not found:
        raise KAdapterError("nothing is explained yet: explain an answer first, then export")
    most = max(float(np.abs(each.scores).max()) for each in found.values()) or 1.0
    label = next(iter(found.values())).label
    lines = [
        rf"\textbf{{{tex(name)}}} ({each.logit:.2f}): "
        + " ".join(_tex_token(each, at, most) for at in range(len(each.tokens)))
        for name, each in found.items()
    ]
    knocked = ", ".join(f"{tex(name)} {move:+.2f}" for name, move in layers.items())
    return "\n".join(
        [
            r"% needs \usepackage{xcolor}",
            r"\begin{figure*}",
            r"\small\setlength{\fboxsep}{1pt}",
            " \\\\\n".join(lines),
            rf"\caption{{What each token adds to the logit of \emph{{{tex(label)}}} (integrated gradients): "
            + "blue adds, orange takes"
            + (f"; adapter layers add {knocked}" if knocked else "")
            + ".}",
            r"\end{figure*}",
            "",
        ]
    )


def _tex_token(found: Attribution, at: int, most: float) -> str:
    share = float(found.scores[at]) / most
    ends = (0, 114, 178) if share >= 0 else (213, 94, 0)  # as `report.figures.DIVERGING`
    colour = ",".join(str(round(255 + (end - 255) * 0.75 * abs(share))) for end in ends)
    return rf"\colorbox[RGB]{{{colour}}}{{\strut {tex(found.tokens[at])}}}"


def write(text: str, folder: str | Path, stem: str, suffix: str) -> Path:
    """Write `folder/stem.suffix`; a file that is there stays, and a number is added to the name.

    Raises KAdapterError if the folder cannot be written to.
    """
    name, number = f"{stem}.{suffix}", 1
    while True:
        path = Path(folder).absolute() / name
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
            return path
        except FileExistsError:
            number += 1
            name = f"{stem}-{number}.{suffix}"
        except OSError as error:
            raise KAdapterError(f"{path} cannot be written: {error.strerror or error}") from error


def tex(text: str) -> str:
    """Text as LaTeX prints it, with its special characters escaped and on one line."""
    return "".join(_TEX.get(c, c) for c in " ".join(text.split()))


def md(text: str) -> str:
    """Text as a cell of a Markdown table prints it: no markup, no HTML, no link, on one line."""
    escaped = _MARKDOWN.sub(r"\\\1", " ".join(text.split()))
    return re.sub(r"&", "&amp;", escaped).replace("<", "&lt;")


def _tex_sentence(case: Case) -> str:
    out = []
    for piece, roles in pieces(case.text, case.mentions):
        # spaces at the borders of a piece are kept; within it `tex` makes one of several
        shown = " " * piece[:1].isspace() + tex(piece) + " " * (piece[-1:].isspace() and bool(piece.strip()))
        for role in roles:
            shown = rf"\uwave{{{shown}}}" if role == "object" else rf"\uline{{{shown}}}"
        out.append(shown)
    return "".join(out)


def _check(cases: Sequence[Case]) -> None:
    if not cases:
        raise KAdapterError("no case is chosen: add one first, then export")
