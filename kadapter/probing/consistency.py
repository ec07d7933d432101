"""ParaRel (Elazar et al., 2021): does a model say the same of a fact, however the relation is worded?

The candidates are the relation's own objects. Consistency is the share of (subject, ordered pair of patterns) for which
the most probable candidate is the same; accuracy is that of the first pattern, LAMA's own; all_right is the share of
facts that every pattern gets right.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int
from tqdm.auto import tqdm
from transformers import PreTrainedTokenizerBase

from kadapter.data.places import matching
from kadapter.errors import KAdapterError
from kadapter.formats import pararel
from kadapter.knowledge.facts import fill
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.probing.probe import NOT_ASKABLE
from kadapter.tasks.prompts import word_ids
from kadapter.training.language import speaking_task, token_log_probabilities

METRICS = ("accuracy", "consistency", "all_right")
WORDS = "objects of the relation"
NO_TOKEN = "object of several tokens"
FEW = 2  # patterns that a relation needs


@dataclass
class Paraphrases:
    """What was found.

    Attributes:
        table: one row a relation: relation, patterns (asked), candidates, n (facts), accuracy, consistency, all_right.
        dropped: reason -> facts (objects of several tokens) or patterns (not askable) that were left out.
    """

    table: pd.DataFrame
    dropped: Counter

    def rows(self, model: str) -> list[dict[str, Any]]:
        """The table as `kadapter probe --json` prints it; `macro` is the mean over relations."""
        listed = []
        for metric in METRICS:
            for row in self.table.to_dict("records"):
                shared = {"model": model, "probe": "pararel", "relation": row["relation"], "words": WORDS}
                value = {"metric": metric, "value": row[metric], "n": row["n"]}
                listed.append(shared | {"word_count": row["candidates"]} | value)
            shared = {"model": model, "probe": "pararel", "relation": "macro", "words": WORDS}
            value = {"metric": metric, "value": float(self.table[metric].mean()), "n": int(self.table["n"].sum())}
            listed.append(shared | {"word_count": int(self.table["candidates"].sum())} | value)
        return listed


def agreement(said: Int[np.ndarray, "patterns facts"]) -> float:
    """The share of (fact, ordered pair of different patterns) with the same answer.

    >>> agreement(np.array([[1, 2], [1, 3], [1, 2]]))
    0.6666666666666666
    """
    patterns, facts = said.shape
    equal = sum(int((said[i] == said[j]).sum()) for i in range(patterns) for j in range(patterns) if i != j)
    return equal / (patterns * (patterns - 1) * facts)


def ask(
    model: KnowledgeModel,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    limit: int | None = None,
    bf16: bool = False,
    progress: bool = False,
) -> Paraphrases:
    """Ask every relation of ParaRel's folder (`pararel/trex_lms_vocab`, `pararel/pattern_data/graphs_json`).

    Args:
        folder: the data folder.
        limit: at most so many facts of a relation.

    Raises KAdapterError where the files are not there or nothing can be asked.
    """
    home = folder / "pararel"
    files = matching(home, "trex_lms_vocab/P*.jsonl")
    if not files:
        raise KAdapterError(f"{home} has no trex_lms_vocab/P*.jsonl: name the data folder with --data or KADAPTER_DATA")
    dropped: Counter[str] = Counter()
    rows = []
    for file in tqdm(files, desc="pararel", unit="relation", leave=False, disable=not progress):
        wording = matching(home, f"pattern_data/graphs_json/{file.name}")
        if wording:
            row = _relation(model, tokenizer, file, pararel.patterns(wording[0]), limit, bf16, dropped)
            rows += [] if row is None else [row]
    if not rows:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in dropped.items())
        raise KAdapterError(f"no relation of {home} can be asked ({reasons})")
    return Paraphrases(pd.DataFrame(rows), dropped)


def _relation(
    model: KnowledgeModel,
    tokenizer: PreTrainedTokenizerBase,
    file: Path,
    patterns: list[str],
    limit: int | None,
    bf16: bool,
    dropped: Counter,
) -> dict[str, Any] | None:
    pairs = pararel.read(file).to_pandas()
    ids = word_ids(tokenizer, sorted(set(pairs["object"])))
    usable = pairs[pairs["object"].isin(ids)].head(limit or len(pairs))
    dropped[NO_TOKEN] += int((~pairs["object"].isin(ids)).sum())
    if speaking_task(model).reading == "causal":
        from_left = [p for p in patterns if -1 < p.find("[X]") < p.find("[Y]")]
        dropped[NOT_ASKABLE] += len(patterns) - len(from_left)
        patterns = from_left
    if usable.empty or len(patterns) < FEW:
        return None
    columns, place = list(ids.values()), {word: i for i, word in enumerate(ids)}
    right = np.array([place[o] for o in usable["object"]])
    texts = [fill(pattern, subject) for pattern in patterns for subject in usable["subject"]]
    log = token_log_probabilities(model, tokenizer, texts, columns, bf16=bf16)
    said = log.argmax(1).reshape(len(patterns), len(usable))
    return {
        "relation": file.name.split(".")[0],
        "patterns": len(patterns),
        "candidates": len(ids),
        "n": len(usable),
        "accuracy": float((said[0] == right).mean()),
        "consistency": agreement(said),
        "all_right": float((said == right).all(0).mean()),
    }
