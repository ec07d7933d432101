"""Negated LAMA (Kassner and Schuetze, 2020): does a model answer "was not born in" otherwise than "was born in"?

Measured as in that paper: Spearman's rank correlation of the log-probabilities of the word list under a template and
its negation, and how often the most probable word is the same; a model that understands negation has neither high.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from tqdm.auto import tqdm
from transformers import PreTrainedTokenizerBase

from kadapter.errors import KAdapterError
from kadapter.knowledge.facts import fill
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.probing.probe import askable
from kadapter.probing.questions import Questions
from kadapter.probing.words import WordList
from kadapter.training.language import speaking_task, token_log_probabilities

METRICS = ("spearman", "overlap")
# "is", "was", ...: the word that "not" follows; other templates of LAMA have a verb that needs "does not"
COPULAS = ("is", "was", "are", "were", "can", "has been")
VERBS = {
    "died": "did not die", "plays": "does not play", "works": "does not work", "shares": "does not share",
    "consists": "does not consist", "maintains": "does not maintain", "used": "did not use", "has": "does not have",
}  # fmt: skip


def negation(template: str) -> str | None:
    """A template with "not" in it; None where no rule says where.

    >>> negation("[X] was born in [Y] ."), negation("[X] died in [Y] .")
    ('[X] was not born in [Y] .', '[X] did not die in [Y] .')
    """
    words = template.split()
    for place, word in enumerate(words):
        if word in VERBS and not any(earlier in COPULAS for earlier in words[:place]):
            return " ".join([*words[:place], VERBS[word], *words[place + 1 :]])
        if word in COPULAS:
            return " ".join([*words[: place + 1], "not", *words[place + 1 :]])
    return None


def ask(
    model: KnowledgeModel,
    tokenizer: PreTrainedTokenizerBase,
    questions: Questions,
    words: WordList,
    negated: Mapping[str, str] | None = None,
    limit: int | None = None,
    bf16: bool = False,
    progress: bool = False,
) -> pd.DataFrame:
    """One row a relation: relation, template, negated, n, spearman (mean over facts) and overlap (share of facts).

    Args:
        negated: relation -> its negated template (LAMA's `template_negated`); others are negated by `negation`.

    Raises KAdapterError where no relation can be asked.
    """
    usable, _ = askable(questions, words, speaking_task(model).reading == "causal")
    table, rows = usable.first(limit).table, []
    columns = list(words.ids.values())
    groups = table.groupby("relation", sort=False)
    for relation, part in tqdm(groups, desc="negated", unit="relation", leave=False, disable=not progress):
        template = part["template"].iloc[0]
        other = (negated or {}).get(str(relation)) or negation(template)
        if not other:
            continue
        texts = [fill(other, subject) for subject in part["subject"]]
        said = token_log_probabilities(model, tokenizer, list(part["text"]), columns, bf16=bf16)
        denied = token_log_probabilities(model, tokenizer, texts, columns, bf16=bf16)
        rows.append(
            {
                "relation": str(relation),
                "template": template,
                "negated": other,
                "n": len(part),
                "spearman": float(np.mean(_correlations(said, denied))),
                "overlap": float((said.argmax(1) == denied.argmax(1)).mean()),
            }
        )
    if not rows:
        raise KAdapterError("no relation of these questions has a negated template: expected LAMA's T-REx or Google-RE")
    return pd.DataFrame(rows)


def rows(found: pd.DataFrame, model: str, words: WordList) -> list[dict[str, Any]]:
    """The table as `kadapter probe --json` prints it; `macro` is the mean over relations."""
    shared = {"model": model, "probe": "lama-negated", "words": words.name, "word_count": len(words)}
    listed = []
    for metric in METRICS:
        listed += [
            shared | {"relation": r, "metric": metric, "value": float(v), "n": int(n)}
            for r, v, n in zip(found["relation"], found[metric], found["n"], strict=True)
        ]
        mean = {"relation": "macro", "metric": metric, "value": float(found[metric].mean()), "n": int(found["n"].sum())}
        listed.append(shared | mean)
    return listed


def _correlations(
    one: Float[np.ndarray, "facts words"], other: Float[np.ndarray, "facts words"]
) -> Float[np.ndarray, " facts"]:
    """Spearman's, a fact each: Pearson's of the ranks, ties at their mean rank."""
    ranks = [pd.DataFrame(log).rank(axis=1).to_numpy() for log in (one, other)]
    a, b = (r - r.mean(axis=1, keepdims=True) for r in ranks)
    return (a * b).sum(axis=1) / np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
