"""Asking a model the questions of a probe: the rank of each right answer among the words of a list.

P@1 is the share of facts whose object is the most probable word of the list, P@10 and the mean reciprocal rank (MRR) go
by its rank; each is the mean within a relation, and the unweighted mean over relations ("macro", Petroni et al., 2019).
Beside every score stand what the relation's most frequent object would reach (majority) and what the model says when
the subject is `it` (no_subject).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from tqdm.auto import tqdm
from transformers import PreTrainedTokenizerBase

from kadapter.errors import KAdapterError
from kadapter.formats.lama import MASK
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.probing.questions import Questions, neutral
from kadapter.probing.words import WordList
from kadapter.training.language import speaking_task, token_log_probabilities

METRICS = ("P@1", "P@10", "MRR")
MAJORITY, NO_SUBJECT = "majority", "no_subject"
NO_TOKEN = "object not in the word list"
NOT_ASKABLE = "not askable from the left"
SILENT = "relation: none of its facts can be asked"
TOP = 5  # words kept of each answer (Table 6)


@dataclass
class Answers:
    """What a model answered.

    Attributes:
        table: the questions that could be asked, with rank (from 1), rank_filtered (other right objects of the same
            subject left out), rank_majority, rank_no_subject (nan without a template), log_probability (natural) and
            top (the most probable words).
        dropped: reason -> number of facts that were not asked.
        words: the list.
    """

    table: pd.DataFrame
    dropped: Counter
    words: WordList

    def rows(self, model: str, probe: str) -> list[dict[str, Any]]:
        """Scores as `kadapter probe --json` prints them: one row for each model (this one, `majority` and
        `no_subject`), relation and metric; `macro` is the mean over relations."""
        ranks = {model: "rank", f"{model}, other right objects left out": "rank_filtered"}
        ranks |= {MAJORITY: "rank_majority", NO_SUBJECT: "rank_no_subject"}
        rows = []
        for name, column in ranks.items():
            scored = self.table.dropna(subset=[column])
            parts = [(relation, scores(part[column])) for relation, part in scored.groupby("relation", sort=False)]
            if not parts:
                continue
            sizes = scored.groupby("relation", sort=False).size()
            mean = {metric: float(np.mean([values[metric] for _, values in parts])) for metric in METRICS}
            for relation, values in [*parts, ("macro", mean)]:
                n = int(sizes.sum() if relation == "macro" else sizes[relation])
                shared = {"model": name, "probe": probe, "relation": relation}
                shared |= {"words": self.words.name, "word_count": len(self.words)}
                rows += [shared | {"metric": metric, "value": values[metric], "n": n} for metric in METRICS]
        return rows


def scores(ranks: Sequence[float] | pd.Series) -> dict[str, float]:
    """P@1, P@10 and MRR of ranks, as fractions.

    >>> scores([1, 2, 20])
    {'P@1': 0.3333333333333333, 'P@10': 0.6666666666666666, 'MRR': 0.5166666666666667}
    """
    rank = np.asarray(ranks, dtype=float)
    return dict(zip(METRICS, map(float, ((rank <= 1).mean(), (rank <= 10).mean(), (1 / rank).mean())), strict=True))


def ranked(log: Float[np.ndarray, "facts words"], right: Sequence[int]) -> Float[np.ndarray, " facts"]:
    """The rank, from 1, of each fact's right word: one more than the number of words that are more probable."""
    return 1.0 + (log > log[np.arange(len(log)), list(right)][:, None]).sum(axis=1)


def most_probable(log: Float[np.ndarray, "facts words"], names: Sequence[str]) -> list[list[str]]:
    """The `TOP` most probable words of each fact, the best first."""
    return [[names[i] for i in row] for row in np.argsort(-log, axis=1, kind="stable")[:, :TOP]]


def ask(
    model: KnowledgeModel,
    tokenizer: PreTrainedTokenizerBase,
    questions: Questions,
    words: WordList,
    limit: int | None = None,
    bf16: bool = False,
    progress: bool = False,
) -> Answers:
    """Ask a model every question whose object is in the list, a relation at a time.

    Args:
        limit: at most so many facts of a relation, the first that can be asked.

    Raises KAdapterError where nothing can be asked.
    """
    usable, dropped = askable(questions, words, speaking_task(model).reading == "causal")
    usable = usable.first(limit)
    if usable.table.empty:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in dropped.items())
        raise KAdapterError(
            f"none of {len(questions.table)} facts can be asked ({reasons}): the list {words.name} has {len(words)} "
            f"words that are one token of {tokenizer.name_or_path}"
        )
    names, columns = list(words.ids), list(words.ids.values())
    place = {word: i for i, word in enumerate(names)}
    found = []
    groups = usable.table.groupby("relation", sort=False)
    for _, part in tqdm(groups, desc="probe", unit="relation", leave=False, disable=not progress):
        log = token_log_probabilities(model, tokenizer, list(part["text"]), columns, bf16=bf16)
        template = part["template"].iloc[0]
        alone = None
        if template and (text := neutral(template)).split(MASK)[0].strip():
            alone = token_log_probabilities(model, tokenizer, [text], columns, bf16=bf16)[0]
        found.append(answered(part, log, alone, names, place))
    return Answers(pd.concat(found, ignore_index=True), dropped + questions.dropped, words)


def askable(questions: Questions, words: WordList, causal: bool) -> tuple[Questions, Counter]:
    """The facts whose object is in the list; for a causal model, those whose subject stands left of the object. A fact
    with several right objects is asked when one of them is in the list."""
    table = questions.table
    dropped: Counter[str] = Counter()
    right = [[o for o in objects if o in words.ids] for objects in table["objects"]]
    named = zip(right, table["subject"], table["object"], strict=True)
    asked = np.array([bool(some) if subject == "" else o in words.ids for some, subject, o in named], dtype=np.bool_)
    dropped[NO_TOKEN] = int((~asked).sum())
    if causal:
        left = [text.split(MASK)[0] for text in table["text"]]
        placed = zip(left, table["subject"], table["template"], strict=True)
        reads = np.array([bool(t.strip()) and (not form or s in t) for t, s, form in placed], dtype=np.bool_)
        dropped[NOT_ASKABLE] = int((asked & ~reads).sum())
        asked = asked & reads
    dropped[SILENT] = len(set(table["relation"]) - set(table["relation"][asked]))
    listed = table.assign(objects=pd.Series(right, index=table.index, dtype=object))
    return Questions(listed[asked].reset_index(drop=True), questions.dropped), +dropped


def answered(
    part: pd.DataFrame,
    log: Float[np.ndarray, "facts words"],
    alone: Float[np.ndarray, " words"] | None,
    names: list[str],
    place: dict[str, int],
) -> pd.DataFrame:
    """The rows of one relation with what was found. Where a question accepts several answers (it has no subject), its
    best one counts."""
    frequent = Counter(o for objects, o in zip(part["objects"], part["object"], strict=True) for o in (objects or [o]))
    order = {object: rank for rank, (object, _) in enumerate(frequent.most_common(), 1)}
    asked = part.to_dict("records")
    accepted = [row["objects"] if row["subject"] == "" else [row["object"]] for row in asked]
    best = [max(some, key=lambda o: scored[place[o]]) for some, scored in zip(accepted, log, strict=True)]
    right = [place[o] for o in best]
    ranks, top = ranked(log, right).astype(int).tolist(), most_probable(log, names)
    rows = []
    for k, row in enumerate(asked):
        value = log[k, right[k]]
        others = log[k, [place[o] for o in row["objects"] if o != best[k]]]
        rows.append(
            {
                "rank": ranks[k],
                "rank_filtered": ranks[k] - int((others > value).sum()),
                "rank_majority": min(order[o] for o in accepted[k]),
                "rank_no_subject": np.nan if alone is None else 1 + int((alone > alone[right[k]]).sum()),
                "log_probability": float(value),
                "top": top[k],
            }
        )
    return pd.concat([part.reset_index(drop=True), pd.DataFrame(rows)], axis=1)
