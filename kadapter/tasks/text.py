"""Plain text: predict its own tokens. A new language head is trained so, all else fixed, as the K-Adapter authors did
to ask their models LAMA's questions (Section 4.4)."""

from collections.abc import Sequence

import numpy as np
from transformers import PreTrainedTokenizerBase

from kadapter.errors import KAdapterError
from kadapter.formats.lama import MASK
from kadapter.scoring import metrics
from kadapter.tasks.base import MaxLength
from kadapter.tasks.cloze import ClozeTask, Reading, Speaks
from kadapter.values import checked


class TextTask(ClozeTask):
    """Perplexity of text: each token from those before it (`causal`), or a fixed 15 per cent of the tokens from all
    others (`masked`).

    It reads any dataset of texts or words, of which it takes nothing else: sentences of T-REx, a treebank, lines.

    Args:
        labels: not used.
        reading, language_head: as of the task cloze.
    """

    name, schema = "text", "cloze"

    @checked("task option", leave_out=("labels",))
    def __init__(
        self,
        labels: Sequence[str] = (),
        max_length: MaxLength = 64,
        reading: Reading = "masked",
        language_head: Speaks = "new",
    ) -> None:
        super().__init__((), max_length, reading, language_head)

    def options(self) -> dict:
        names = ("labels", "max_length", "reading", "language_head")
        return {name: value for name, value in super().options().items() if name in names}

    def encode(self, tokenizer: PreTrainedTokenizerBase, examples: dict[str, list]) -> dict[str, list]:
        """Raises KAdapterError for a text with [MASK]."""
        texts = examples["text"] if "text" in examples else [" ".join(words) for words in examples["words"]]
        for text, id in zip(texts, examples["id"], strict=True):
            if MASK in text:
                raise KAdapterError(f"record {id}: found {MASK}; expected plain text")
        none = [""] * len(texts)
        rows: dict[str, list] = {
            "id": examples["id"],
            "relation": none,
            "text": texts,
            "answer": none,
            "candidates": [[]] * len(texts),
        }
        return super().encode(tokenizer, rows)

    def decide(self, outputs: Sequence[np.ndarray] | np.ndarray, encoded=None) -> np.ndarray:
        """(examples, 2): the log-probability of the tokens that were predicted, and their number."""
        return np.asarray(outputs)[:, 1:]

    def references(self, encoded) -> np.ndarray:
        """(examples,) nothing: a text is its own answer."""
        return np.zeros(len(encoded.aside["relation"]))

    @property
    def metric(self) -> metrics.Metric:
        return metrics.get("perplexity")
