"""Tables 5 and 6 of the paper for models that were probed here: P@1 on LAMA beside the published rows, with the word
list of each, and the most probable words of several models for chosen questions. As HTML and LaTeX; CSV is `to_csv`."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import pandas as pd

from kadapter.cases.exports import tex
from kadapter.probing import kept
from kadapter.report import markup, published
from kadapter.report.markup import Marked
from kadapter.runs import Result

COLUMNS = {  # of Table 5: key in published.yaml -> the probe as `kadapter probe` names it
    "google_re": "lama-google-re",
    "uhn_google_re": "lama-google-re-uhn",
    "trex": "lama-trex",
    "uhn_trex": "lama-trex-uhn",
    "conceptnet": "lama-conceptnet",
    "squad": "lama-squad",
}
HERE, PAPER = "here", "K-Adapter, Table 5"
UNTOLD = "not told"


@dataclass(frozen=True)
class Probed:
    """What the probes of a preset left.

    Attributes:
        rows: as `kadapter probe --json` prints them.
        asked: run -> model -> its answers, for `table6`.
        leaks: run -> P@1 apart by what the adapters' text says.
    """

    rows: list[dict[str, Any]]
    asked: dict[str, dict[str, pd.DataFrame]]
    leaks: dict[str, pd.DataFrame]

    @property
    def table5(self) -> pd.DataFrame:
        """`table5` of the rows; empty where no probe of LAMA was asked."""
        return table5(self.rows) if any(row["probe"] in COLUMNS.values() for row in self.rows) else pd.DataFrame()

    @property
    def table6(self) -> pd.DataFrame:
        """`table6` of each run's `questions`: of `F`, else its last model, against `backbone`, else its first."""
        parts = []
        for answers in self.asked.values():
            model = "F" if "F" in answers else list(answers)[-1]
            against = "backbone" if "backbone" in answers else next(iter(answers))
            parts.append(table6(answers, questions(answers, model, against)))
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def of_runs(found: Iterable[Result]) -> Probed:
    """What the runs of probes among the finished runs of a preset left."""
    probes = [run for run in found if run.stage == "probe"]
    asked = {run.path.name: answers for run in probes if (answers := kept.read_top(run.path))}
    files = {run.path.name: run.path / kept.LEAK for run in probes}
    leaks = {name: pd.read_csv(file) for name, file in files.items() if file.is_file()}
    return Probed([row for run in probes for row in kept.read_rows(run.path)], asked, leaks)


def section(probed: Probed) -> str:
    """Tables 5 and 6 and what had been read, as a section of the report; "" where nothing was probed."""
    parts = []
    if not (five := probed.table5).empty:
        parts.append(f"<h3>Table 5</h3>{html5(five)}")
    for name, leaks in probed.leaks.items():
        numbers = [column for column in leaks.columns if column not in ("kind", "task")]
        columns: list[markup.Column] = [(c, c, c in numbers) for c in leaks.columns]
        lines = [row | {c: _shown(c, row[c]) for c in numbers} for row in leaks.to_dict("records")]
        said = f"<p>{escape(name)}: P@1 in percent, apart by what the adapters' text says of each fact.</p>"
        parts.append(said + markup.table(columns, lines))
    if not (six := probed.table6).empty:
        said = (
            "The five most probable words: of each relation the first question that is mended; the right word is bold."
        )
        parts.append(f"<h3>Table 6</h3><p>{said}</p>{html6(six)}")
    return "".join(parts)


def export(probed: Probed) -> dict[str, str]:
    """File name -> content: Tables 5 and 6 as CSV and LaTeX, where there is something in them."""
    five, six = probed.table5, probed.table6
    texts = {} if five.empty else {"table5.csv": five.to_csv(index=False), "table5.tex": latex5(five)}
    return texts | ({} if six.empty else {"table6.csv": six.to_csv(index=False), "table6.tex": latex6(six)})


def table5(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """The published rows of LAMA, then those of the models probed here: model, source, words, and `COLUMNS` (percent).

    Args:
        rows: as `kadapter probe --json` prints them, of any number of models, probes and word lists; the mean over
            relations of P@1 counts.

    `words` names the list among whose words the objects were ranked, with how many of them could be asked of the model;
    NaN is what nobody has measured.
    """
    entry = published.datasets()["lama"]
    lines = [
        {"model": row["model"], "source": row.get("source", PAPER), "words": row.get("words", UNTOLD)}
        | dict(zip(entry["metrics"], row["scores"], strict=True))
        for row in [*entry["rows"], *entry["others"]]
    ]
    columns = {probe: key for key, probe in COLUMNS.items()}
    ours: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        if row["probe"] in columns and row["relation"] == "macro" and row["metric"] == "P@1":
            words = f"{row['words']} ({row['word_count']:,})"
            line = ours.setdefault((row["model"], words), {"model": row["model"], "source": HERE, "words": words})
            line[columns[row["probe"]]] = 100 * row["value"]
    frame = pd.DataFrame([*lines, *ours.values()], columns=["model", "source", "words", *COLUMNS])
    return frame.astype(dict.fromkeys(COLUMNS, float))


def about_lists(table: pd.DataFrame) -> str:
    """Whether what was measured here may stand beside the published rows, in a sentence: scores of two word lists are
    not comparable."""
    ours = list(dict.fromkeys(table.loc[table["source"] == HERE, "words"]))
    known = table[(table["source"] != HERE) & (table["words"] != UNTOLD)]
    same = sorted(set(known["model"][known["words"].map(_list).isin(set(map(_list, ours)))]))
    if not ours:
        return "No model was probed here."
    text = f"Here: {'; '.join(ours)}. "
    text += f"The same list was used for {', '.join(same)}" if same else "No published row is known to use this list"
    return f"{text}; of a list only words count that are one token of the model. A row of another list is no measure."


def table6(asked: Mapping[str, pd.DataFrame], texts: Sequence[str]) -> pd.DataFrame:
    """The most probable words of several models for chosen questions, one line for each: text, answer, model, rank,
    word, right.

    Args:
        asked: model -> the `table` of what `kadapter.probing.probe.ask` returns.
        texts: questions, with [MASK], in the order of the table; models that were not asked one have no lines for it.
    """
    lines = []
    for text in texts:
        for model, table in asked.items():
            for row in table[table["text"] == text].head(1).to_dict("records"):
                # a question without a subject accepts each of its answers
                accepted = set(row["objects"]) if row["subject"] == "" else {row["object"]}
                lines += [
                    {"text": text, "answer": row["object"], "model": model, "rank": rank, "word": word}
                    | {"right": word in accepted}
                    for rank, word in enumerate(row["top"], 1)
                ]
    return pd.DataFrame(lines, columns=["text", "answer", "model", "rank", "word", "right"])


def questions(asked: Mapping[str, pd.DataFrame], model: str, against: str, count: int = 8) -> list[str]:
    """Questions for `table6`, chosen by a rule: the first of each relation that `model` answers right and `against`
    does not, at most `count`."""
    ours, theirs = asked[model], asked[against]
    both = ours.merge(theirs[["text", "object", "rank"]], on=["text", "object"], suffixes=("", "_against"))
    gained = both[(both["rank"] == 1) & (both["rank_against"] > 1)]
    return gained.drop_duplicates("relation")["text"].head(count).tolist()


def html5(table: pd.DataFrame) -> str:
    """`table5` as HTML, with what is to be known about its word lists."""
    columns: list[markup.Column] = [
        *((name, name, False) for name in ("model", "source", "words")),
        *((_title(key), key, True) for key in COLUMNS),
    ]
    lines = [row | {key: _number(row[key], "") for key in COLUMNS} for row in table.to_dict("records")]
    said = f"<p>P@1 in percent, mean over relations. {escape(about_lists(table))}</p>"
    return said + markup.table(columns, lines)


def latex5(table: pd.DataFrame) -> str:
    """`table5` as a LaTeX table (booktabs)."""
    lines = [
        " & ".join(
            [*(tex(row[name]) for name in ("model", "source", "words")), *(_number(row[k], "--") for k in COLUMNS)]
        )
        for row in table.to_dict("records")
    ]
    head = " & ".join(["model", "source", "word list", *(tex(_title(key)) for key in COLUMNS)])
    return _booktabs("lll" + "r" * len(COLUMNS), head, lines, about_lists(table))


def html6(table: pd.DataFrame) -> str:
    """`table6` as HTML: a line for each question and model, the right word bold."""
    lines = [
        {"question": text, "answer": answer, "model": model, "words": Marked(_words(own, "<b>{}</b>", escape))}
        for (text, answer, model), own in table.groupby(["text", "answer", "model"], sort=False)
    ]
    columns = [(name, name, False) for name in ("question", "answer", "model", "words")]
    return f'<div class="cases">{markup.table(columns, lines, ("question", "answer"))}</div>'


def latex6(table: pd.DataFrame) -> str:
    """`table6` as a LaTeX table (booktabs), the right word bold."""
    lines = [
        " & ".join([tex(str(text)), tex(str(answer)), tex(str(model)), _words(own, r"\textbf{{{}}}", tex)])
        for (text, answer, model), own in table.groupby(["text", "answer", "model"], sort=False)
    ]
    return _booktabs("llll", "question & answer & model & most probable words", lines, "the right word is bold")


def _words(own: pd.DataFrame, bold: str, escaped: Callable[[str], str]) -> str:
    pairs = zip(map(escaped, own["word"]), own["right"], strict=True)
    return ", ".join(bold.format(word) if right else word for word, right in pairs)


def _booktabs(columns: str, head: str, lines: Sequence[str], said: str) -> str:
    body = [rf"{line} \\" for line in lines]
    begin = [f"% {' '.join(said.split())}", rf"\begin{{tabular}}{{{columns}}}", r"\toprule", rf"{head} \\", r"\midrule"]
    return "\n".join([*begin, *body, r"\bottomrule", r"\end{tabular}", ""])


def _title(key: str) -> str:
    named = {"google_re": "Google-RE", "trex": "T-REx", "conceptnet": "ConceptNet", "squad": "SQuAD"}
    return "UHN " * key.startswith("uhn_") + named[key.removeprefix("uhn_")]


def _number(value: float, missing: str) -> str:
    return missing if pd.isna(value) else f"{value:.1f}"


def _shown(column: str, value: int | float) -> str:
    """A number of the leak table: a count, or a share in percent."""
    return f"{value:,.0f}" if column == "n" else _number(100 * value, "")


def _list(words: str) -> str:
    """The name of a list, without its size."""
    return words.split(" (")[0]
