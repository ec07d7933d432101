"""Scorers of the paper's tasks (Tables 2, 3 and 4) and of dependency heads and SemEval-2010 Task 8, by name."""

import importlib
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import Float

from kadapter.errors import KAdapterError, unknown
from kadapter.scoring.metric import Metric, Values, divide, precision_recall_f1, with_f1
from kadapter.scoring.squad import exact_match, f1


@dataclass(frozen=True)
class Accuracy(Metric):
    """Share of examples whose predicted label is the gold label: correct / n. CosmosQA in Table 3.

    `predictions` and `references` are (n,) label numbers; a negative reference is none, and raises KAdapterError.
    """

    name = "accuracy"
    primary = "accuracy"
    title = "accuracy"

    def per_example(self, predictions: Any, references: Any) -> Float[np.ndarray, "n k"]:
        predictions, references = self.arrays(predictions, references, 1)
        if absent := int((references < 0).sum()):
            raise KAdapterError(
                f"accuracy: {absent} of {len(references)} examples have no gold label; "
                "expected one each: score a split whose labels are published"
            )
        return np.stack([predictions == references, np.ones(len(references))], axis=1).astype(float)

    def reduce(self, totals: Float[np.ndarray, "... k"]) -> dict[str, Values]:
        return {"accuracy": divide(totals[..., 0], totals[..., 1])}


@dataclass(frozen=True)
class EpisodicAccuracy(Metric):
    """Share of the queries of few-shot episodes that are answered right.

    The queries of an episode share its supports, so that they are no independent examples: counts are those of whole
    episodes, and intervals (`kadapter.scoring.statistics`) resample episodes.

    `predictions` (n,), `references` (n, 2): class and episode.
    """

    name = "episodic_accuracy"
    primary = "accuracy"
    title = "accuracy"

    def per_example(self, predictions: Any, references: Any) -> Float[np.ndarray, "episodes k"]:
        references = np.asarray(references).reshape(-1, 2)
        predictions, labels = self.arrays(predictions, references[:, 0], 1)
        _, place = np.unique(references[:, 1], return_inverse=True)
        right = np.bincount(place, weights=predictions == labels)
        return np.stack([right, np.bincount(place)], axis=1).astype(float)

    def reduce(self, totals: Float[np.ndarray, "... k"]) -> dict[str, Values]:
        return {"accuracy": divide(totals[..., 0], totals[..., 1])}


@dataclass(frozen=True)
class MicroF1(Metric):
    """Micro precision, recall and F1 of one label per example, without the label `negative`. TACRED in Table 4.

    precision = correct / predicted, recall = correct / gold, F1 = 2PR / (P + R), counting only labels other than
    `negative` (for TACRED the number of `no_relation`), as TACRED's scorer `score.py` does (Zhang et al., 2017).
    With `negative=None` every label counts, and all three equal the accuracy.
    `predictions` and `references` are (n,) label numbers.
    """

    negative: int | None = None

    name = "micro_f1"
    primary = "f1"
    title = "micro F1"

    def per_example(self, predictions: Any, references: Any) -> Float[np.ndarray, "n k"]:
        predictions, references = self.arrays(predictions, references, 1)
        negative = np.nan if self.negative is None else self.negative  # nothing equals nan
        predicted, gold = predictions != negative, references != negative
        return np.stack([gold & (predictions == references), predicted, gold], axis=1).astype(float)

    def reduce(self, totals: Float[np.ndarray, "... k"]) -> dict[str, Values]:
        return precision_recall_f1(*np.moveaxis(totals, -1, 0))


def _label_sets(metric: Metric, predictions: Any, references: Any) -> tuple[np.ndarray, np.ndarray]:
    predictions, references = metric.arrays(predictions, references, 2)
    for role, array in (("predictions", predictions), ("references", references)):
        if not np.isin(array, (0, 1)).all():
            found = array[~np.isin(array, (0, 1))][0]
            raise KAdapterError(f"{metric.name}: {role} hold {found}; expected 0 or 1 for each label of each example")
    return predictions.astype(bool), references.astype(bool)


@dataclass(frozen=True)
class Multilabel(Metric):
    """Micro precision, recall and F1 of sets of labels. OpenEntity in Table 2.

    precision = `sum |P & G| / sum |P|`, recall = `sum |P & G| / sum |G|` over the examples' predicted sets P and gold
    sets G (the "loose micro" of Ling and Weld, 2012). `predictions` and `references` are (n, labels), 0 or 1.
    """

    name = "multilabel"
    primary = "f1"
    title = "micro F1"

    def per_example(self, predictions: Any, references: Any) -> Float[np.ndarray, "n k"]:
        predictions, references = _label_sets(self, predictions, references)
        sets = (predictions & references, predictions, references)
        return np.stack([labels.sum(axis=1) for labels in sets], axis=1).astype(float)

    def reduce(self, totals: Float[np.ndarray, "... k"]) -> dict[str, Values]:
        return precision_recall_f1(*np.moveaxis(totals, -1, 0))


@dataclass(frozen=True)
class Figer(Metric):
    """Strict accuracy, loose macro and loose micro precision, recall and F1 of type sets. FIGER in Table 2.

    After Ling and Weld (2012), for predicted sets P_e and gold sets G_e of the mentions e:
    strict accuracy = share of mentions with P_e = G_e;
    loose macro: precision = mean of `|P_e & G_e| / |P_e|` over mentions with a prediction,
    recall = mean of `|P_e & G_e| / |G_e|` over mentions with a gold type;
    loose micro: as `Multilabel`. Each F1 is the harmonic mean of its precision and recall.
    Where every mention has a prediction (the paper's rule: logit > 0 or arg-max) and a gold type, this is also what
    the ERNIE scorer computes, which divides by all mentions.
    `predictions` and `references` are (n, labels), 0 or 1.
    """

    name = "figer"
    primary = "micro_f1"
    title = "loose micro F1"

    def per_example(self, predictions: Any, references: Any) -> Float[np.ndarray, "n k"]:
        predictions, references = _label_sets(self, predictions, references)
        correct, predicted, gold = (
            labels.sum(axis=1) for labels in (predictions & references, predictions, references)
        )
        exact = (predictions == references).all(axis=1)
        columns = [exact, np.ones(len(exact)), divide(correct, predicted), predicted > 0, divide(correct, gold)]
        return np.stack([*columns, gold > 0, correct, predicted, gold], axis=1).astype(float)

    def reduce(self, totals: Float[np.ndarray, "... k"]) -> dict[str, Values]:
        exact, examples, precision, with_prediction, recall, with_gold, *micro = np.moveaxis(totals, -1, 0)
        macro = with_f1(divide(precision, with_prediction), divide(recall, with_gold))
        return (
            {"accuracy": divide(exact, examples)}
            | {f"macro_{key}": value for key, value in macro.items()}
            | {f"micro_{key}": value for key, value in precision_recall_f1(*micro).items()}
        )


@dataclass(frozen=True)
class UAS(Metric):
    """Unlabelled attachment score: words with the right head / words, over the whole set (every word the same weight).

    `predictions` and `references` are n sentences of head positions; a word whose reference is `ignored` does not
    count (positions that are no first sub-word). Punctuation counts. The linguistic adapter's measure.
    """

    ignored: int = -100

    name = "uas"
    primary = "uas"
    title = "UAS"

    def per_example(self, predictions: Any, references: Any) -> Float[np.ndarray, "n k"]:
        self.same_length(predictions, references)
        counts = np.zeros((len(references), 2))
        for row, (predicted, gold) in enumerate(zip(predictions, references, strict=True)):
            predicted, gold = np.asarray(predicted), np.asarray(gold)
            if predicted.shape != gold.shape:
                raise KAdapterError(
                    f"uas: sentence {row} has {predicted.size} predicted heads for {gold.size} words; expected one each"
                )
            counted = gold != self.ignored
            counts[row] = (counted & (predicted == gold)).sum(), counted.sum()
        return counts

    def reduce(self, totals: Float[np.ndarray, "... k"]) -> dict[str, Values]:
        return {"uas": divide(totals[..., 0], totals[..., 1])}


@dataclass(frozen=True)
class LAS(Metric):
    """Labelled attachment score: words with the right head and the right relation to it / words; UAS beside it, and the
    share of right relations whatever the head.

    `predictions` and `references` are n sentences of (words, 2): head position and relation. A word whose reference
    head is `ignored` does not count; punctuation does.
    """

    ignored: int = -100

    name = "las"
    primary = "las"
    title = "LAS"

    def per_example(self, predictions: Any, references: Any) -> Float[np.ndarray, "n k"]:
        self.same_length(predictions, references)
        counts = np.zeros((len(references), 4))
        for row, (predicted, gold) in enumerate(zip(predictions, references, strict=True)):
            predicted, gold = np.asarray(predicted).reshape(-1, 2), np.asarray(gold).reshape(-1, 2)
            if predicted.shape != gold.shape:
                raise KAdapterError(
                    f"las: sentence {row} has {len(predicted)} predictions for {len(gold)} words; expected one each"
                )
            counted = gold[:, 0] != self.ignored
            head, relation = (counted & (predicted[:, k] == gold[:, k]) for k in (0, 1))
            counts[row] = (head & relation).sum(), head.sum(), relation.sum(), counted.sum()
        return counts

    def reduce(self, totals: Float[np.ndarray, "... k"]) -> dict[str, Values]:
        return {name: divide(totals[..., k], totals[..., 3]) for k, name in enumerate(("las", "uas", "relations"))}


@dataclass(frozen=True)
class SemEval(Metric):
    """Official score of SemEval-2010 Task 8: macro F1 over the relations, direction counted, `Other` left out.

    For each relation, both directions together: precision = correct / predicted, recall = correct / gold, where the
    right relation in the wrong direction is predicted but not correct. The macro values are means over the relations
    that occur in the gold labels (all nine in the official test set), as `semeval2010_task8_scorer-v1.2.pl` computes
    its "(9+1)-way evaluation with directionality taken into account" (Hendrickx et al., 2010).
    `predictions` and `references` are (n,) numbers into `labels`, names such as `Cause-Effect(e1,e2)` and `Other`.
    """

    labels: Sequence[str]

    name = "semeval"
    primary = "f1"
    title = "macro F1"

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(self.labels))
        if "Other" not in self.labels:
            raise KAdapterError(f"semeval: labels have no 'Other': {self.labels}; expected the task's 19 label names")

    @property
    def relations(self) -> list[str]:
        """The relations without direction and without `Other`, sorted."""
        return sorted({label.split("(")[0] for label in self.labels} - {"Other"})

    def per_example(self, predictions: Any, references: Any) -> Float[np.ndarray, "n k"]:
        predictions, references = self.arrays(predictions, references, 1)
        relations = [label.split("(")[0] for label in self.labels]
        one_hot = np.array([[relation == name for name in self.relations] for relation in relations], float)
        predicted, gold = one_hot[predictions.astype(int)], one_hot[references.astype(int)]  # (n, relations)
        correct = gold * (predictions == references)[:, None]
        return np.stack([correct, predicted, gold], axis=2).reshape(len(gold), 3 * len(self.relations))

    def reduce(self, totals: Float[np.ndarray, "... k"]) -> dict[str, Values]:
        correct, predicted, gold = np.moveaxis(totals.reshape(*totals.shape[:-1], -1, 3), -1, 0)  # (..., relations)
        present = gold > 0
        return {
            key: divide((value * present).sum(axis=-1), present.sum(axis=-1))
            for key, value in precision_recall_f1(correct, predicted, gold).items()
        }


@dataclass(frozen=True)
class Squad(Metric):
    """Exact match and word F1 of answers, best over each question's gold answers, mean over questions. Table 3.

    SearchQA, Quasar-T and XQuAD are scored so, by SQuAD's evaluation v1.1 (Rajpurkar et al., 2016): where an answer
    normalises to nothing, the exact match may be 1 and F1 is 0, unlike in v2.0.
    `predictions` are n strings, `references` n lists of gold answers; a question without any gets 0.
    """

    name = "squad"
    primary = "f1"
    title = "F1 (SQuAD v1.1)"

    def per_example(self, predictions: Any, references: Any) -> Float[np.ndarray, "n k"]:
        self.same_length(predictions, references)
        rows = [
            [max((score(text, answer) for answer in answers), default=0.0) for score in (exact_match, f1)] + [1.0]
            for text, answers in zip(predictions, references, strict=True)
        ]
        return np.array(rows, float).reshape(-1, 3)

    def reduce(self, totals: Float[np.ndarray, "... k"]) -> dict[str, Values]:
        return {key: divide(totals[..., column], totals[..., 2]) for column, key in enumerate(("exact_match", "f1"))}


# metric -> "module:class"
METRICS = {
    "episodic_accuracy": "kadapter.scoring.metrics:EpisodicAccuracy",
    "accuracy": "kadapter.scoring.metrics:Accuracy",
    "micro_f1": "kadapter.scoring.metrics:MicroF1",
    "multilabel": "kadapter.scoring.metrics:Multilabel",
    "figer": "kadapter.scoring.metrics:Figer",
    "uas": "kadapter.scoring.metrics:UAS",
    "las": "kadapter.scoring.metrics:LAS",
    "semeval": "kadapter.scoring.metrics:SemEval",
    "squad": "kadapter.scoring.metrics:Squad",
    "cloze": "kadapter.scoring.cloze:Cloze",
    "perplexity": "kadapter.scoring.cloze:Perplexity",
    "pieces": "kadapter.scoring.cloze:Pieces",
}


def get(name: str, **options: Any) -> Metric:
    """The metric of a name in `METRICS`, with its options (`negative`, `ignored`, `labels`).

    Raises KAdapterError for a name or an option that does not exist, or one that is missing.

    >>> get("micro_f1", negative=0)([1, 0, 2, 2], [1, 2, 0, 2])["f1"]
    0.6666666666666666
    """
    if name not in METRICS:
        raise unknown("metric", name, METRICS)
    module, cls = METRICS[name].split(":")
    metric: type[Metric] = getattr(importlib.import_module(module), cls)
    known = {field.name: field for field in fields(metric)}
    for option in options:
        if option not in known:
            raise unknown(f"option of metric {name}", option, known)
    for option, field in known.items():
        if field.default is MISSING and option not in options:
            raise KAdapterError(f"metric {name} needs the option {option}")
    return metric(**options)
