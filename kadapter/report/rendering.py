"""How scores look as text: numbers in percent, the order of model rows, the tables for a terminal and for LaTeX."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from kadapter.catalog import ROWS
from kadapter.model.tuning_config import TUNINGS
from kadapter.scoring.cloze import Perplexity

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler

ORDER = ("backbone", "multitask", "none", "F", "L", "F+L")  # of model rows, everywhere; others follow
# Rows without an adapter that knows something; the last two are a probe's controls.
PLAIN = (*ROWS, "majority", "shuffled")
NO_SHARES = (Perplexity.title,)  # metrics whose values are no fractions
SIGNIFICANT = 0.05  # level of the corrected p values that are marked


def by_model(name: str) -> tuple[int, int, str]:
    """Sort key of model rows: those of `PLAIN`, then adapters, then combinations of two, of three, ...;
    among these as in `ORDER`, then any other by name."""
    if name in PLAIN:
        return PLAIN.index(name), 0, name
    place = ORDER.index(name) if name in ORDER else len(ORDER)
    return len(PLAIN) + name.count("+"), place, name


def first_with_knowledge(models: Iterable[str]) -> str | None:
    """The first model row with a pre-trained adapter, in the order given: not the best, so that nothing is picked by
    its result. None where there is none."""
    return next((model for model in models if model not in PLAIN), None)


def percent(fraction: float, sign: str = "") -> str:
    """A fraction as percent with one decimal, "–" for NaN; `sign="+"` shows the sign of a difference."""
    return "–" if np.isnan(fraction) else f"{100 * fraction:{sign}.1f}".replace("-0.0", "0.0")


def shown(row: Mapping[Any, Any], key: str, sign: str = "") -> str:
    """A value of a row in percent; as it is where its metric (by its title) is no share."""
    return percent(row[key] / 100 if row.get("metric") in NO_SHARES else row[key], sign)


def span(row: Mapping[Any, Any], low: str = "ci_low", high: str = "ci_high", sign: str = "") -> str:
    """An interval in percent: `[61.2, 65.0]`."""
    return f"[{shown(row, low, sign)}, {shown(row, high, sign)}]"


def trained(row: Mapping[Any, Any]) -> str:
    """How many parameters trained: `1,234,567`; "–" where it is not known."""
    found = row.get("trained_parameters")
    return "–" if pd.isna(found) else f"{int(found):,}"


def p_value(p: float) -> str:
    """`p = 0.012`, or `p < 0.001`; "" for NaN."""
    return "" if np.isnan(p) else "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def pretty(frame: pd.DataFrame, title: str = "") -> Table:
    """A terminal table of what `table` returns, in percent with one decimal; how many parameters trained where a row
    tunes the backbone in parts, which is what they are compared by (80 columns do not hold it otherwise)."""
    counted = bool(frame["model"].isin(list(TUNINGS)).any())
    caption = f"95% intervals over examples, seeds, pre-trainings; * p < {SIGNIFICANT} after Holm's correction"
    table = Table(title=title or None, caption=caption, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("task · regime")
    columns = ["score", "± seeds", "95% interval", "against backbone", *(["parameters trained"] if counted else [])]
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for (task, regime, metric), group in frame.groupby(["task", "regime", "metric"], sort=False):
        table.add_row(Text(f"{task} · {regime}", "bold"), Text(str(metric), "bold"))
        for row in group.to_dict("records"):
            name = Text(f"  {row['model']}")
            cells = (shown(row, "mean"), shown(row, "std"), span(row), _against(row), trained(row))
            table.add_row(name, *cells[: len(columns)])
    return table


def styled(frame: pd.DataFrame) -> "Styler":
    """What `table` returns as a notebook shows it, in percent; differences with a corrected p below 0.05 are bold."""
    rows = frame.to_dict("records")
    columns = pd.DataFrame(
        {
            **{column: frame[column] for column in ("task", "regime", "metric", "model")},
            "score": [shown(row, "mean") for row in rows],
            "± seeds": [shown(row, "std") for row in rows],
            "95% interval": [span(row) for row in rows],
            "against backbone": [_against(row) for row in rows],
            "parameters trained": [trained(row) for row in rows],
            "seeds": frame["seeds"],
            "examples": frame["n"],
        }
    )
    numbers = columns.columns[4:]
    return (
        columns.style.hide(axis="index")
        .format(escape="html")
        .set_properties(subset=list(numbers), **{"text-align": "right"})
        .map(lambda text: "font-weight: bold" if text.endswith("*") else "", subset=["against backbone"])
    )


def latex(frame: pd.DataFrame) -> str:
    """A LaTeX table (booktabs) of what `table` returns: a line for each model, a column for each task and regime."""
    groups = list(frame.groupby(["task", "regime", "metric"], sort=False))
    cells: dict[str, list[str]] = {}
    for place, (_, group) in enumerate(groups):
        for row in group.to_dict("records"):
            line = cells.setdefault(row["model"], ["--"] * len(groups))
            mark = r"$^{*}$" if row["p_holm"] < SIGNIFICANT else ""
            line[place] = rf"{shown(row, 'mean')} {{\scriptsize $\pm$ {shown(row, 'std')}, {span(row)}}}{mark}"
    head = " & ".join(_tex(f"{task}, {regime} ({metric})") for (task, regime, metric), _ in groups)
    lines = [f"{_tex(model)} & {' & '.join(cells[model])} \\\\" for model in sorted(cells, key=by_model)]
    return "\n".join(
        [
            f"% percent: mean over seeds, standard deviation over seeds, 95\\% interval; * p < {SIGNIFICANT} (Holm)",
            rf"\begin{{tabular}}{{l{'r' * len(groups)}}}",
            r"\toprule",
            rf"model & {head} \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def _against(row: Mapping[Any, Any]) -> str:
    if np.isnan(row["difference"]):
        return "–"
    star = "*" if row["p_holm"] < SIGNIFICANT else " "
    return f"{shown(row, 'difference', '+')} {span(row, 'difference_low', 'difference_high', '+')}{star}"


def _tex(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(special.get(c, rf"\{c}" if c in "_&%#${}" else c) for c in text)
