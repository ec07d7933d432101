"""The scores of cloze probes and of plain text."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from kadapter.scoring.metric import Metric, Values, divide


@dataclass(frozen=True)
class Cloze(Metric):
    """P@1, P@10 and mean reciprocal rank of answers, each the unweighted mean over relations (Petroni et al., 2019),
    and how well plain text is predicted: the geometric mean of its tokens' probabilities, which is 1 / perplexity.

    `predictions` are (n, 3): the rank of the answer (from 1, inf where it cannot be found), its log-probability and its
    number of pieces; `references` are (n,) numbers of relations, -1 for plain text. Relations without a fact do
    not count; without plain text its value is 0.
    """

    relations: int = 1

    name = "cloze"
    primary = "p1"
    title = "P@1"

    def per_example(self, predictions: Any, references: Any) -> Float[np.ndarray, "n k"]:
        self.same_length(list(predictions), list(references))
        predictions = np.asarray(predictions, float).reshape(-1, 3)
        rank, references = predictions[:, 0], np.asarray(references, int)
        facts = np.stack([np.ones(len(rank)), rank <= 1, rank <= 10, 1 / np.maximum(rank, 1)], axis=1)
        one_hot = (references[:, None] == np.arange(self.relations)).astype(float)  # (n, relations)
        text = predictions[:, 1:] * (references < 0)[:, None]
        return np.concatenate(
            [(one_hot[:, :, None] * facts[:, None]).reshape(len(rank), 4 * self.relations), text], axis=1
        )

    def by_relation(self, totals: Float[np.ndarray, "... k"]) -> Float[np.ndarray, "... relations 4"]:
        """Number of facts, P@1, P@10 and mean reciprocal rank of each relation, of what examples add up to."""
        facts = totals[..., :-2].reshape(*totals.shape[:-1], self.relations, 4)
        return np.concatenate([facts[..., :1], divide(facts[..., 1:], facts[..., :1])], axis=-1)

    def reduce(self, totals: Float[np.ndarray, "... k"]) -> dict[str, Values]:
        facts = self.by_relation(totals)
        means = divide(facts[..., 1:].sum(axis=-2), (facts[..., 0] > 0).sum(axis=-1)[..., None])
        named = {name: means[..., k] for k, name in enumerate(("p1", "p10", "mrr"))}
        return named | {"text": np.exp(divide(totals[..., -2], totals[..., -1])) * (totals[..., -1] > 0)}


@dataclass(frozen=True)
class Perplexity(Metric):
    """exp of the mean negative log-probability of the tokens of plain text: no fraction, and lower is better.

    `predictions` are (n, 2): the summed log-probability of a text's tokens, and their number; there are no references.
    """

    name = "perplexity"
    primary = "perplexity"
    title = "perplexity"
    share = False

    def per_example(self, predictions: Any, references: Any = None) -> Float[np.ndarray, "n k"]:
        return np.asarray(predictions, float).reshape(-1, 2)

    def reduce(self, totals: Float[np.ndarray, "... k"]) -> dict[str, Values]:
        return {"perplexity": np.asarray(np.exp(-divide(totals[..., 0], totals[..., 1])) * (totals[..., 1] > 0))}


@dataclass(frozen=True)
class Pieces(Metric):
    """How well the pieces of hidden mentions are predicted: the geometric mean of their probabilities (1 / perplexity),
    and the share of mentions all of whose pieces are first.

    `predictions` are (n, 3), as `Cloze`'s; there are no references.
    """

    name = "pieces"
    primary = "probability"
    title = "probability of a piece"

    def per_example(self, predictions: Any, references: Any = None) -> Float[np.ndarray, "n k"]:
        predictions = np.asarray(predictions, float).reshape(-1, 3)
        return np.concatenate([np.ones((len(predictions), 1)), predictions[:, :1] <= 1, predictions[:, 1:]], axis=1)

    def reduce(self, totals: Float[np.ndarray, "... k"]) -> dict[str, Values]:
        probability = np.exp(divide(totals[..., 2], totals[..., 3])) * (totals[..., 3] > 0)
        return {"probability": np.asarray(probability), "p1": divide(totals[..., 1], totals[..., 0])}
