"""Mention-masked language modelling, general map-tuning's task: the pieces of hidden mentions, from the mapped vectors
that stand before them and their context (Zhang et al., ACL 2023, Section 3.2; map-tuning ledger, row 4)."""

from collections.abc import Iterator, Sequence

import numpy as np
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from kadapter.errors import KAdapterError
from kadapter.formats.schemas import MENTION
from kadapter.scoring import metrics
from kadapter.tasks.base import MaxLength, crop
from kadapter.tasks.cloze import ClozeTask, Reading, Speaks
from kadapter.values import checked


class MentionTask(ClozeTask):
    """The pieces of a text's `masked` mentions.

    `masked`: each becomes a mask token, and only there is anything predicted; what stands before a hidden mention (`e
    /`) stays. `causal`: nothing is hidden, each piece is predicted from what stands left of it: the mapped vector, `/`
    and the pieces before.
    """

    name, schema = "mention", "mention"
    aside: tuple[str, ...] = ()
    apart = ""

    @checked("task option", leave_out=("labels",))
    def __init__(
        self,
        labels: Sequence[str] = (),
        max_length: MaxLength = 64,
        reading: Reading = "masked",
        language_head: Speaks = "own",
    ) -> None:
        super().__init__(labels, max_length, reading, language_head)

    def options(self) -> dict:
        return {"max_length": self.max_length, "reading": self.reading, "language_head": self.language_head}

    def encode(self, tokenizer: PreTrainedTokenizerBase, examples: dict[str, list]) -> dict[str, list]:
        """Raises KAdapterError for a mention without a piece, and for `masked` and a tokenizer without a mask token."""
        if self.reading == "masked" and tokenizer.mask_token_id is None:
            raise KAdapterError(
                f"the tokenizer of {tokenizer.name_or_path} has no mask token: a causal model is tuned with "
                "reading='causal'"
            )
        encoding = tokenizer(
            list(examples["text"]), return_offsets_mapping=True, return_special_tokens_mask=True, verbose=False
        )
        parts = (encoding[name] for name in ("input_ids", "offset_mapping", "special_tokens_mask"))
        columns: dict[str, list] = {"input_ids": [], "asked": [], "labels": []}
        for id, masked, ids, offsets, special in zip(examples["id"], examples["masked"], *parts, strict=True):
            read = np.asarray(ids), np.asarray(offsets).reshape(-1, 2), np.asarray(special, dtype=bool)
            for name, values in self._hidden(tokenizer, f"record {id}", masked, *read).items():
                columns[name].append(values.tolist())
        return columns

    def _hidden(
        self,
        tokenizer: PreTrainedTokenizerBase,
        where: str,
        masked: Sequence[dict],
        ids: np.ndarray,
        offsets: np.ndarray,
        special: np.ndarray,
    ) -> dict[str, np.ndarray]:
        starts, ends = offsets.T
        hidden = np.zeros(len(ids), dtype=bool)
        spans = []
        for mention in masked:
            inside = ~special & (ends > mention["start"]) & (starts < mention["end"]) & (ends > starts)
            if not inside.any():
                raise KAdapterError(f"{where}: the mention at {mention['start']} has no pieces; expected a word")
            hidden |= inside
            body = np.flatnonzero(inside[~special])
            spans.append((int(body[0]), int(body[-1]) + 1))
        places = np.flatnonzero(~special)
        kept = np.sort(np.append(np.flatnonzero(special), places[crop(len(places), spans, self._room(special))]))
        ids, hidden = ids[kept], hidden[kept]
        asked = np.flatnonzero(hidden)
        if self.reading == "masked":
            return {
                "input_ids": np.where(hidden, tokenizer.mask_token_id, ids),
                "asked": asked,
                "labels": ids[asked],
            }
        asked = asked[asked > 0]  # nothing stands left of the first
        return {"input_ids": ids, "asked": asked - 1, "labels": ids[asked]}

    def _room(self, special: np.ndarray) -> int:
        return self.max_length - int(special.sum())

    def references(self, encoded) -> np.ndarray:
        """(examples,) ones: the pieces themselves are the labels."""
        return np.ones(len(encoded))

    @property
    def metric(self) -> metrics.Metric:
        return metrics.get("pieces")


def variants(dataset: Dataset, reading: str = "masked") -> Dataset:
    """Linked sentences as rows of the MENTION schema: of a sentence with two mentions both hidden, the first alone, and
    the second alone (a hidden or visible mention keeps its vector); of one with one mention that one. Read from the
    left nothing is hidden, so that there is one row, with all its mentions to be predicted.

    Mentions are the subject and the object of the RELATION schema, linked or not, or the column `links`. Sentences with
    no link are dropped. Raises KAdapterError if none is left.
    """
    if "links" not in dataset.column_names:
        raise KAdapterError("these sentences name no entities: expected a column 'links' (kadapter.graphs.linking)")
    rows = [row for number, example in enumerate(dataset) for row in _variants(example, number, reading)]
    if not rows:
        raise KAdapterError(f"none of {len(dataset)} sentences mentions a linked entity")
    return Dataset.from_list(rows, features=MENTION)


def _variants(example: dict, number: int, reading: str) -> Iterator[dict]:
    links = sorted(example["links"], key=lambda link: link["start"])
    mentions = [{"start": link["start"], "end": link["end"]} for link in links]
    if "subj_start" in example:
        mentions = [{"start": example[f"{r}_start"], "end": example[f"{r}_end"]} for r in ("subj", "obj")]
    if not links:
        return
    alone = [[mention] for mention in mentions] if reading == "masked" and len(mentions) > 1 else []
    for k, masked in enumerate([mentions, *alone]):
        yield {"id": f"{example.get('id', number)}-{k}", "text": example["text"], "masked": masked, "links": links}
