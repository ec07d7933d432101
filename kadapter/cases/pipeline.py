"""Answers to sentences of one's own from the top level: `model.predict(...)`, and a pipeline in Hugging Face's way."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from kadapter import runs
from kadapter.cases import inference
from kadapter.cases.table import decide
from kadapter.errors import KAdapterError
from kadapter.model.backbone import load_tokenizer
from kadapter.model.knowledge_model import KnowledgeModel

COLUMNS = ("sentence", "rank", "label", "logit", "probability", "answered")
_SPANS = ("subj_start", "subj_end", "obj_start", "obj_end")

_tokenizer = functools.cache(load_tokenizer)


def predict(
    model: KnowledgeModel,
    inputs: str | Sequence[str] | pd.DataFrame | Dataset,
    k: int | None = 1,
    tokenizer: PreTrainedTokenizerBase | None = None,
) -> pd.DataFrame:
    """The model's top k labels of sentences, with whatever is plugged now.

    Args:
        inputs: a sentence with its mention in [brackets] and, for a relation, its object in {braces}; several; or a
            data frame or dataset that has them in a column `sentence` or `text`, or a text and where its mentions are
            (`text` with `start` and `end`, or `subj_start`, `subj_end`, `obj_start`, `obj_end`, in characters).
        k: labels of each sentence; None for all.
        tokenizer: that of the backbone by default.

    Returns a row per sentence and rank: sentence, rank (from 1), label, logit, probability (independent ones for a
    typing head), answered (whether the label is part of the model's answer, as the score decides). Of a data frame its
    index is kept.

    Raises KAdapterError for a model without a classification head, a mention that is missing, or a data frame that has
    no sentences.
    """
    from kadapter.training.batches import encode
    from kadapter.training.predict import predict as answer

    sentences, index = marked_sentences(inputs)
    if not sentences:
        return pd.DataFrame(columns=list(COLUMNS))
    examples = inference.to_examples(model, sentences)  # refuses what cannot be asked
    backbone, task = model.backbone, model.require_task()
    tokenizer = tokenizer or _tokenizer(backbone.name, backbone.revision)
    logits = np.stack(answer(model, encode(task, tokenizer, examples, progress=False)).outputs)
    chances, answered = inference.probabilities(logits, task.schema == "typing"), decide(task, logits)
    best = np.argsort(-logits, axis=-1, kind="stable")[:, :k]  # (sentences, k)
    rows = [
        (sentences[i], rank, task.labels[p], float(logits[i, p]), float(chances[i, p]), bool(answered[i, p]))
        for i, places in enumerate(best)
        for rank, p in enumerate(places, start=1)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS), index=index.repeat(best.shape[1]))


def marked_sentences(inputs: str | Sequence[str] | pd.DataFrame | Dataset) -> tuple[list[str], pd.Index]:
    """Sentences with their mentions in brackets, and the index of the rows that they are from.

    Raises KAdapterError for a data frame without sentences, and for what is no text.
    """
    if isinstance(inputs, Dataset):
        inputs = inputs.to_pandas()
    if isinstance(inputs, pd.DataFrame):
        sentences = _of_frame(inputs)
        index = inputs.index
    else:
        sentences = [inputs] if isinstance(inputs, str) else list(inputs)
        index = pd.RangeIndex(len(sentences))
    for number, sentence in enumerate(sentences):
        if not isinstance(sentence, str):
            raise KAdapterError(f"input {number} is {sentence!r}; expected a sentence with its mention in [brackets]")
    return sentences, index


def _of_frame(frame: pd.DataFrame) -> list:
    columns = set(frame.columns)
    if {"text", *_SPANS} <= columns:
        spans = zip(*(frame[c] for c in _SPANS), strict=True)
        return [
            inference.write_marked(text, [[a, b, "subject"], [c, d, "object"]])
            for text, (a, b, c, d) in zip(frame["text"], spans, strict=True)
        ]
    if {"text", "start", "end"} <= columns:
        return [
            inference.write_marked(text, [[a, b, "subject"]])
            for text, a, b in zip(frame["text"], frame["start"], frame["end"], strict=True)
        ]
    for name in ("sentence", "text"):
        if name in columns:
            return frame[name].tolist()
    raise KAdapterError(
        f"the data frame has columns {sorted(map(str, columns))}; expected `sentence` or `text` with mentions in "
        "[brackets], or `text` with `start` and `end`"
    )


class Pipeline:
    """A model that answers sentences as a Hugging Face pipeline does. Made by `pipeline`.

    Attributes:
        model: the model; plug and unplug its adapters as ever.
        task: the name of its task.
    """

    def __init__(self, model: KnowledgeModel, tokenizer: PreTrainedTokenizerBase | None = None) -> None:
        self.model, self.tokenizer, self.task = model, tokenizer, model.require_task().name

    def __call__(
        self, inputs: str | Sequence[str] | pd.DataFrame | Dataset, top_k: int | None = 1
    ) -> list[dict[str, Any]] | list[list[dict[str, Any]]]:
        """`[{"label": ..., "score": ...}, ...]`, the best first, of one sentence; a list of such lists of several.

        Args:
            inputs: as `predict` takes them.
            top_k: labels of each sentence; None for all. With 1, several sentences give one flat list.

        Raises KAdapterError as `predict` does.
        """
        found = predict(self.model, inputs, top_k, self.tokenizer)
        pairs = [{"label": n, "score": p} for n, p in zip(found["label"], found["probability"], strict=True)]
        if isinstance(inputs, str) or top_k == 1:
            return pairs
        width = int(found["rank"].max()) if pairs else 1
        return [pairs[start : start + width] for start in range(0, len(pairs), width)]

    def __repr__(self) -> str:
        labels = len(self.model.require_task().labels)
        return f"Pipeline({self.task}, {labels} labels, adapters {list(self.model.adapters)})"


def pipeline(
    task: str,
    model: KnowledgeModel | str | Path,
    tokenizer: PreTrainedTokenizerBase | None = None,
    revision: str | None = None,
) -> Pipeline:
    """A model that answers sentences: `pipeline("typing", "runs/embedded/finetune/typing-frozen-F")("[Ada] codes .")`.

    Args:
        task: the name of the model's task: `relation` or `typing`.
        model: a model; the folder of a saved one or of a fine-tuning run; or a Hub id (with `revision`).
        tokenizer: that of the backbone by default.

    Raises KAdapterError for another task than the model's, a model without a classification head, and as
    `KnowledgeModel.from_pretrained` does.
    """
    if not isinstance(model, KnowledgeModel):
        model = KnowledgeModel.from_pretrained(saved_model(model), revision=revision)
    if model.task is None or not model.task.labels:
        raise KAdapterError("only a model with a classification head can be asked about a sentence")
    if task != model.task.name:
        raise KAdapterError(f"this model answers {model.task.name!r}, not {task!r}: pipeline({model.task.name!r}, ...)")
    return Pipeline(model.eval(), tokenizer)


def saved_model(source: str | Path) -> Path | str:
    """Where a model is saved: of a run's folder the model in it; what is no folder here is taken as a Hub id."""
    folder = runs.resolve(source)
    if (folder / runs.RESULT).is_file():
        return folder / "model"
    return folder if folder.is_dir() else str(source)
