"""Ask a model about a sentence that a person wrote: mentions in brackets, answers as labels with logits."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from datasets import Dataset, Features
from transformers import PreTrainedTokenizerBase

from kadapter.errors import KAdapterError
from kadapter.formats import schemas
from kadapter.model.knowledge_model import KnowledgeModel

Links = Sequence[Sequence[Mapping[str, Any]]]  # of each text its linked mentions: start, end (characters), entity

_BRACKET = re.compile(r"\\[\\\[\]{}]|[\[\]{}]")  # a bracket, or one that a backslash makes plain text
_SPECIAL = re.compile(r"[\\\[\]{}]")


def read_marked(marked: str) -> tuple[str, dict[str, tuple[int, int]]]:
    """The plain text and the mentions of a sentence with its subject in [brackets] and, for a relation, its object in
    {braces}. A backslash before a bracket or a backslash makes it plain text.

    Raises KAdapterError for brackets that are missing, empty, crossed or given twice.

    >>> read_marked("[New Fabris] closed down {June 16} .")
    ('New Fabris closed down June 16 .', {'subject': (0, 10), 'object': (23, 30)})
    """
    text, at, opened, mentions = "", 0, {}, {}
    for match in _BRACKET.finditer(marked):
        text, at = text + marked[at : match.start()], match.end()
        if match.group()[0] == "\\":
            text += match.group()[1]
            continue
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


def write_marked(text: str, mentions: Sequence[Sequence]) -> str:
    """The inverse of `read_marked`: a text with its mentions, [[start, end, role], ...], in brackets.

    >>> write_marked("Rome [1] grew in May .", [[0, 4, "subject"], [17, 20, "object"]])
    '[Rome] \\\\[1\\\\] grew in {May} .'
    """
    signs = {role: "{}" if role == "object" else "[]" for _, _, role in mentions}
    inserts = [(p, k, signs[role][k]) for start, end, role in mentions for k, p in ((0, start), (1, end))]
    out, at = "", 0
    for position, _, bracket in sorted(inserts, key=lambda i: (i[0], -i[1])):
        out, at = out + _SPECIAL.sub(r"\\\g<0>", text[at:position]) + bracket, position
    return out + _SPECIAL.sub(r"\\\g<0>", text[at:])


def replace_mention(marked: str, role: str, name: str) -> str:
    """A marked sentence with another name as its subject or object.

    Raises KAdapterError if it has no such mention, or if the name is empty.

    >>> replace_mention("[Rome] grew in {May} .", "subject", "Old York")
    '[Old York] grew in {May} .'
    """
    text, mentions = read_marked(marked)
    if role not in mentions:
        raise KAdapterError(f"{marked!r} marks no {role} that could be replaced")
    if not name.strip():
        raise KAdapterError(f"the {role} is empty: type a name")
    start, end = mentions[role]
    moved = len(name) - (end - start)
    spans = [[a + moved * (a >= end), b + moved * (b >= end), r] for r, (a, b) in mentions.items() if r != role]
    return write_marked(text[:start] + name + text[end:], [*spans, [start, start + len(name), role]])


def probabilities(found: np.ndarray, independent: bool) -> np.ndarray:
    """(..., labels) logits as probabilities: independent ones (a typing head), or one distribution."""
    if independent:
        return np.exp(-np.logaddexp(0, -np.asarray(found, dtype=np.float64)))
    shifted = np.exp(np.asarray(found, dtype=np.float64) - np.max(found, axis=-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def to_examples(model: KnowledgeModel, sentences: Sequence[str], links: Links | None = None) -> Dataset:
    """Marked sentences as a dataset of the model's task; its label column holds a placeholder that no answer depends
    on.

    Args:
        links: of each sentence the entities in its plain text, as lists of {start, end, entity}.

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
        row: dict[str, Any] = {"id": str(number), "text": text}
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
        rows.append(row | {"links": list(links[number]) if links else []})
    schema = schemas.RELATION if relation else schemas.TYPING
    return Dataset.from_list(rows, features=Features(schema | {"links": schemas.LINKS}))


@torch.no_grad()
def logits(
    model: KnowledgeModel, tokenizer: PreTrainedTokenizerBase, sentences: Sequence[str], links: Links | None = None
) -> torch.Tensor:
    """(sentences, labels) float32 logits of marked sentences; with a mapping plugged, vectors of the linked entities
    stand in them (`to_examples`)."""
    model.eval()
    return model(**batch(model, tokenizer, sentences, links)).logits.float().cpu()


@torch.no_grad()
def contributions(
    model: KnowledgeModel, tokenizer: PreTrainedTokenizerBase, sentences: Sequence[str], links: Links | None = None
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """How each plugged adapter moves the logits of marked sentences.

    Returns (sentences, labels) float32 logits as `logits` gives them, and for each plugged adapter these logits less
    those of the model without it. The backbone is read once.
    """
    model.eval()
    own = batch(model, tokenizer, sentences, links)
    states = model.read(own["input_ids"], own["attention_mask"], link_rows=own.get("link_rows"))
    features = model.represent(states.to(model.backbone.dtype), own["attention_mask"])
    found, moves = model(features=features, **own).logits, {}
    for place, name in enumerate(model.adapter_names, start=1):  # place 0 is the backbone's last state
        if name in model.adapters:
            without = features.clone()
            without[place] = 0  # what the head reads in place of an unplugged adapter
            moves[name] = (found - model(features=without, **own).logits).float().cpu()
    return found.float().cpu(), moves


def batch(
    model: KnowledgeModel, tokenizer: PreTrainedTokenizerBase, sentences: Sequence[str], links: Links | None = None
) -> dict:
    """Marked sentences as a batch of the model, on its device. Raises KAdapterError as `to_examples` does."""
    from kadapter.machine import threads
    from kadapter.training.batches import encode

    threads.use()
    examples = to_examples(model, sentences, links)  # refuses what cannot be asked
    encoded = encode(model.require_task(), tokenizer, examples, progress=False, mapping=model.mapping)
    device = next(model.backbone.parameters()).device
    return {k: v.to(device) for k, v in encoded.__getitems__(range(len(encoded))).items()}


def ask(
    model: KnowledgeModel, tokenizer: PreTrainedTokenizerBase, sentences: Sequence[str], k: int = 3
) -> pd.DataFrame:
    """The top k labels of each marked sentence, with logits and probabilities (independent ones for a typing head)."""
    found = logits(model, tokenizer, sentences)
    chances = probabilities(found.numpy(), model.require_task().schema == "typing")
    rows = []
    for sentence, row, chance in zip(sentences, found, chances, strict=True):
        for index in row.topk(min(k, len(row))).indices.tolist():
            label = model.require_task().labels[index]
            rows.append(
                {"sentence": sentence, "label": label, "logit": float(row[index]), "probability": float(chance[index])}
            )
    return pd.DataFrame(rows)
