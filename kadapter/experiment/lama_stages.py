"""The stage that asks models a probe of LAMA (Section 4.4; Tables 5 and 6 of the paper): every row the same facts, once
more without those that a name gives away (LAMA-UHN), and apart by what the adapters had read of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kadapter import values
from kadapter.errors import KAdapterError, unknown
from kadapter.experiment.prepared import Data
from kadapter.experiment.preset_values import Seeds
from kadapter.probing import choices, kept, leak, questions, uhn
from kadapter.probing.models import load
from kadapter.probing.probe import MAJORITY, NO_SUBJECT, Answers, ask
from kadapter.probing.words import word_list
from kadapter.runs import Run
from kadapter.scoring.cloze import Cloze
from kadapter.scoring.statistics import interval
from kadapter.training.language import speaking_task

OBJECTS = "objects"  # instead of a word list: the relation's own objects
UHN = "-uhn"


class Lama:
    """Ask every model row a probe.

    Args:
        probe: of `kadapter.probing.questions.PROBES`.
        folder: holds the probe's files; "" for the generated world's, in `data`: its rows have names of their own, as
            they stand beside nothing that is published.
        models: row -> what is asked for it, one for each of `seeds` or one for all: the name of a backbone, a saved
            model or adapter, or the run of one.
        words: a word list (a file, or a name in the folder), or `objects`: the relation's own.
        limit: at most so many facts of a relation, the first; 0 for all.
        data, text: a prepared data folder and the dataset of it that adapters learned from; "" for none.
        names_by: the masked model of LAMA-UHN's filter of names; "" for the first row's, where it is masked.

    Raises KAdapterError for an unknown probe and for what cannot be asked.
    """

    def __init__(
        self,
        *,
        probe: str,
        folder: str | Path,
        models: Mapping[str, Sequence[str | Path]],
        words: str,
        seeds: Sequence[int] = (0,),
        limit: int = 0,
        data: Data | None = None,
        text: str = "",
        names_by: str = "",
    ) -> None:
        values.check_value(Seeds, list(seeds), "seeds")
        if probe not in questions.PROBES:
            raise unknown("probe", probe, questions.PROBES)
        self.probe, self.seeds, self.limit, self.names_by = probe, list(seeds), limit or None, names_by
        if not folder and data is None:
            raise KAdapterError(
                "folder: found none; expected that of the probe's files, or data of the generated world"
            )
        self.name = probe if folder else f"world-{probe}"
        self.folder, self.words = Path(folder) if folder or data is None else data.folder / "world", words
        self.models = {name: [str(one) for one in found] for name, found in models.items()}
        for name, found in self.models.items():
            if len(found) not in (1, len(self.seeds)):
                raise KAdapterError(
                    f"model {name!r}: found {len(found)} for {len(self.seeds)} seeds; expected one each"
                )
        self.questions = questions.PROBES[probe](self.folder)
        self.learned = None if data is None or not text else leak.Learned.of(data.read(text, "train"))
        self.answers: dict[str, list[Answers]] = {}
        self.uhn: np.ndarray | None = None  # (facts,) whether LAMA-UHN keeps each

    def run(self, progress: bool = True) -> pd.DataFrame:
        """Ask everything; returns `table`."""
        for name, sources in self.models.items():
            for source in sources:
                model, tokenizer = load(source)
                if self.words == OBJECTS:
                    found = choices.ask(model, tokenizer, self.questions, self.limit, progress=progress)
                else:
                    listed = word_list(tokenizer, self.words, self.folder)
                    found = ask(model, tokenizer, self.questions, listed, self.limit, progress=progress)
                first = next(iter(self.answers.values()), [found])[0]
                if list(found.table["text"]) != list(first.table["text"]):
                    raise KAdapterError(
                        f"model {name!r} can be asked {len(found.table)} facts and {next(iter(self.answers))!r} "
                        f"{len(first.table)}: expected models with one vocabulary"
                    )
                self.answers.setdefault(name, []).append(found)
                if self.uhn is None:
                    self.uhn = self._kept(found.table, (model, tokenizer), progress)
        return self.table()

    def _kept(self, table: pd.DataFrame, asked: tuple[Any, Any], progress: bool) -> np.ndarray:
        """Whether LAMA-UHN keeps each fact."""
        guesser: tuple[Any, Any] = (None, None)
        if self.names_by:
            guesser = load(self.names_by)
        elif speaking_task(asked[0]).reading == "masked" and self.words != OBJECTS:
            guesser = asked
        numbered = table.assign(number=range(len(table)))
        left = uhn.filtered(questions.Questions(numbered), *guesser, progress=progress).table["number"]
        return np.isin(np.arange(len(table)), left)

    @property
    def facts(self) -> pd.DataFrame:
        """The facts that were asked, in order."""
        return next(iter(self.answers.values()))[0].table

    def ranks(self) -> dict[str, np.ndarray]:
        """Row -> (seeds, facts) ranks; with the rows `majority` and `no_subject`."""
        found = {name: np.stack([each.table["rank"].to_numpy(float) for each in a]) for name, a in self.answers.items()}
        found[MAJORITY] = self.facts["rank_majority"].to_numpy(float)[None]
        if self.facts["rank_no_subject"].notna().all():
            found[NO_SUBJECT] = self.facts["rank_no_subject"].to_numpy(float)[None]
        return {name: np.repeat(r, len(self.seeds) // len(r), axis=0) for name, r in found.items()}

    def parts(self) -> dict[str, np.ndarray]:
        """Probe -> the facts that it asks, (facts,): all, and those that LAMA-UHN keeps."""
        assert self.uhn is not None  # `run` came before
        return {self.name: np.ones(len(self.facts), dtype=bool)} | (
            {f"{self.name}{UHN}": self.uhn} if self.uhn.any() and not self.uhn.all() else {}
        )

    def counts(self) -> dict[tuple[str, str], tuple[np.ndarray, Cloze]]:
        """(probe, row) -> what each fact counts, (seeds, facts, k), and the metric."""
        found = {}
        for probe, inside in self.parts().items():
            relations = list(dict.fromkeys(self.facts["relation"][inside]))
            metric = Cloze(relations=len(relations))
            of = np.array([relations.index(r) for r in self.facts["relation"][inside]])
            for name, ranks in self.ranks().items():
                triples = [np.stack([r, np.zeros(len(r)), np.ones(len(r))], 1) for r in ranks[:, inside]]
                found[probe, name] = np.stack([metric.per_example(each, of) for each in triples]), metric
        return found

    def table(self) -> pd.DataFrame:
        """P@1 of each row in percent, the mean of the relations, with its interval: probe, model, P@1, ci_low, ci_high,
        P@10, MRR, n."""
        lines = []
        for (probe, name), (counts, metric) in self.counts().items():
            found = interval(counts, metric)
            more = metric.reduce(counts.sum(axis=1))
            line = {"probe": probe, "model": name, "P@1": found["mean"], "ci_low": found["ci_low"]}
            line |= {"ci_high": found["ci_high"], "P@10": more["p10"].mean(), "MRR": more["mrr"].mean()}
            lines.append({key: value if isinstance(value, str) else 100 * value for key, value in line.items()})
            lines[-1]["n"] = counts.shape[1]
        return pd.DataFrame(lines)

    def rows(self) -> list[dict[str, Any]]:
        """As `kadapter probe --json` prints them, of the first seed's models: what Table 5 reads."""
        rows = []
        for probe, inside in self.parts().items():
            for number, (name, answers) in enumerate(self.answers.items()):
                first = answers[0]
                part = Answers(first.table[inside].reset_index(drop=True), first.dropped, first.words)
                rows += [row for row in part.rows(name, probe) if number == 0 or row["model"] == name]
        return rows

    def about(self) -> str:
        """The list of words, what was left out and why, in a sentence."""
        first = next(iter(self.answers.values()))[0]
        words = f"{first.words.name}: {len(first.words):,} of {first.words.size:,} words can be answers"
        left = [f"{reason}: {count:,}" for reason, count in first.dropped.items() if count]
        return f"{len(self.facts):,} facts; {words}" + (f"; left out: {', '.join(left)}" if left else "")

    def leak(self) -> pd.DataFrame:
        """P@1 apart by what the adapters' text says of each fact (`kadapter.probing.leak.table`); empty without a
        text."""
        if self.learned is None:
            return pd.DataFrame()
        return leak.table(self.learned.kinds(self.facts), self.ranks(), self.facts["relation"])

    def overlap(self) -> pd.DataFrame:
        """What the adapters' text says of all facts of the probe, asked or not (`kadapter.probing.leak.overlap`); empty
        without text."""
        return pd.DataFrame() if self.learned is None else leak.overlap(self.learned, self.questions.table)

    def top(self) -> dict[str, pd.DataFrame]:
        """Row -> the answers of its first seed, for Table 6."""
        return {name: answers[0].table for name, answers in self.answers.items()}

    def finish(self, run: Run) -> Path:
        """Leave rows, counts, most probable words and the leak table."""
        counts = self.counts()
        arrays: dict[str, Any] = {f"{p}/{m}": found for (p, m), (found, _) in counts.items()}
        np.savez_compressed(run.path("counts.npz"), **arrays)
        kept.write(run.folder, self.top(), self.rows())
        if self.learned is not None:
            self.leak().to_csv(run.path(kept.LEAK), index=False)
        table = self.table()
        first = next(iter(self.answers.values()))[0]
        return run.finish(
            metrics={f"{row['probe']} {row['model']}": row["P@1"] / 100 for row in table.to_dict("records")},
            rows=[{str(key): value for key, value in row.items()} for row in table.to_dict("records")],
            scored=[
                {"task": p, "model": m, "metric": {"name": metric.name, "options": metric.options}}
                for (p, m), (_, metric) in counts.items()
            ],
            seeds=self.seeds,
            n=len(self.facts),
            words={"name": first.words.name, "size": first.words.size, "usable": len(first.words)},
            dropped=dict(first.dropped),
        )
