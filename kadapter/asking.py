"""Ask a model about a sentence that a person wrote: mentions in brackets, answers as labels with logits."""

import re
from collections.abc import Sequence

import pandas as pd
import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from kadapter.errors import KAdapterError
from kadapter.formats import schemas
from kadapter.model import KnowledgeModel

_BRACKET = re.compile(r"[\[\]{}]")


def read_marked(marked: str) -> tuple[str, dict[str, tuple[int, int]]]:
    """The plain text and the mentions of a sentence with its subject in [brackets] and, for a relation, its object in
    {braces}.

    Raises KAdapterError for brackets that are missing, empty, crossed or given twice.

    >>> read_marked("[New Fabris] closed down {June 16} .")
    ('New Fabris closed down June 16 .', {'subject': (0, 10), 'object': (23, 30)})
    """
    text, at, opened, mentions = "", 0, {}, {}
    for match in _BRACKET.finditer(marked):
        text, at = text + marked[at : match.start()], match.end()
        role, opens = ("subject", "[") if match.group() in "[]" else ("object", "{")
        if match.group() == opens:
            if role in opened or role in mentions:
                raise KAdapterError(
                    f"{marked!r}: a second {match.group()!r}; expected one [subject] and at most one {{object}}"
                )
            opened[role] = len(text)
        else:
            if role not in opened:
                raise KAdapterError(f"{marked!r}: {match.group()!r} closes nothing; expected [subject] and {{object}}")
            mentions[role] = (opened.pop(role), len(text))
    text += marked[at:]
    if opened:
        raise KAdapterError(f"{marked!r}: the {next(iter(opened))}'s bracket is never closed")
    for role, (start, end) in mentions.items():
        if start == end:
            raise KAdapterError(f"{marked!r}: the {role} is empty")
    return text, mentions


def to_examples(model: KnowledgeModel, sentences: Sequence[str]) -> Dataset:
    """Marked sentences as a dataset of the model's task; its label column holds a placeholder that no answer depends
    on.

    Raises KAdapterError if the task needs a mention that is not marked.
    """
    if model.task is None or not model.task.labels:
        raise KAdapterError("only a model with a classification head can be asked about a sentence")
    relation = model.task.schema == "relation"
    rows = []
    for number, marked in enumerate(sentences):
        text, mentions = read_marked(marked)
        for role in ("subject", "object") if relation else ("subject",):
            if role not in mentions:
                bracket = "[...]" if role == "subject" else "{...}"
                raise KAdapterError(f"{marked!r}: task {model.task.name} needs the {role} in {bracket}")
        (start, end), other = mentions["subject"], mentions.get("object", (0, 0))
        row = {"id": str(number), "text": text}
        if relation:
            blank = dict.fromkeys(("subj_id", "obj_id", "subj_type", "obj_type"), "")
            row |= {
                "subj_start": start,
                "subj_end": end,
                "obj_start": other[0],
                "obj_end": other[1],
                "tokens": [],
            } | blank
            row["label"] = model.task.labels[0]
        else:
            row |= {"start": start, "end": end, "labels": [], "ents": []}
        rows.append(row)
    return Dataset.from_list(rows, features=schemas.RELATION if relation else schemas.TYPING)


@torch.no_grad()
def logits(model: KnowledgeModel, tokenizer: PreTrainedTokenizerBase, sentences: Sequence[str]) -> torch.Tensor:
    """(sentences, labels) float32 logits of marked sentences."""
    from kadapter.batches import encode

    encoded = encode(model.task, tokenizer, to_examples(model, sentences), progress=False)
    device = next(model.backbone.parameters()).device
    model.eval()
    batch = {k: v.to(device) for k, v in encoded.__getitems__(range(len(encoded))).items()}
    return model(**batch).logits.float().cpu()


def ask(
    model: KnowledgeModel, tokenizer: PreTrainedTokenizerBase, sentences: Sequence[str], k: int = 3
) -> pd.DataFrame:
    """The top k labels of each marked sentence, with logits and probabilities (independent ones for a typing head)."""
    found = logits(model, tokenizer, sentences)
    chances = found.sigmoid() if model.task.schema == "typing" else found.softmax(-1)
    rows = []
    for sentence, row, chance in zip(sentences, found, chances, strict=True):
        for index in row.topk(min(k, len(row))).indices.tolist():
            label = model.task.labels[index]
            rows.append(
                {"sentence": sentence, "label": label, "logit": float(row[index]), "probability": float(chance[index])}
            )
    return pd.DataFrame(rows)
