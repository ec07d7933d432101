"""Parts of a test set that are scored by themselves: how long the text is, how often training has its label, whether
training mentions its entities. The paper (Section 4) gives whole sets alone.

The edges are fixed, so that a slice means the same in every dataset and every run.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from datasets import Dataset

from kadapter.errors import KAdapterError

FILE = "slices.parquet"  # in a fine-tuning run: one row for each test example, a column for each kind of slice
LENGTHS = (10, 20, 40, 80)  # words, between white space; the last of each slice
FREQUENCIES = (10, 100, 1000)  # training examples with the label; the first of each slice but the lowest
ENTITY = ("in training", "not in training")
KNOWN = ("in the knowledge text", "not in the knowledge text")
KNOWN_PAIR = ("together in the knowledge text", "both there, apart", "one there", "neither there")
PAIR = ("both in training", "subject in training", "object in training", "neither in training")


def _ranges(starts: Sequence[int]) -> list[str]:
    """Names of ranges of whole numbers: `1–10`, ..., `81 and more`."""
    last = [str(start - 1) for start in starts[1:]]
    return [*(f"{a}–{b}" for a, b in zip(starts[:-1], last, strict=True)), f"{starts[-1]} and more"]


LENGTH = _ranges([0, *(edge + 1 for edge in LENGTHS)])
FREQUENCY = _ranges([0, *FREQUENCIES])
KINDS: dict[str, Sequence[str]] = {  # kind -> its slices, in the order of every table
    "entity": (*PAIR, *ENTITY),
    "knowledge": (*KNOWN_PAIR, *KNOWN),
    "answer": ENTITY,
    "words": LENGTH,
    "label frequency": FREQUENCY,
}


def attributes(
    test: Dataset, train: Dataset, negative: str | None = None, knowledge: Sequence[Dataset] = ()
) -> pd.DataFrame:
    """The slices that each test example belongs to: a column for each kind of `KINDS` that applies, (n,) strings.

    - entity: whether the mention (typing), or the subject and the object (relation), is a mention of the training
      split; equal without regard to case and white space.
    - knowledge: where `knowledge` is given, whether the mention stands in it as a mention; or whether subject and
      object stand there together (in either order), both but never together, one or neither.
    - answer: whether the right answer of a question, or one of them, is a right answer in the training split.
    - words: of the text; of the context of a choice; of the question where there are paragraphs.
    - label frequency: how many training examples have the label, or the rarest of the labels. "" for an example
      without labels and for the label `negative`, which does not count in the score.

    Args:
        test, train: splits of one dataset, of any schema of `kadapter.formats.schemas`.
        knowledge: what adapters learned from, of schemas RELATION, TYPING or PROBE; others are passed over.
    """
    columns = {}
    tested, trained = _mentions(test), _mentions(train)
    if tested:
        known = set().union(*trained)
        seen = [np.array([mention in known for mention in mentions], bool) for mentions in tested]
        kinds = ENTITY if len(seen) == 1 else PAIR
        # subject and object: 0 both, 1 subject alone, 2 object alone, 3 neither
        code = np.where(seen[0], 0, 1) if len(seen) == 1 else 2 * ~seen[0] + 1 * ~seen[1]
        columns["entity"] = np.array(kinds, object)[code]
        if any(_mentions(each) for each in knowledge):
            columns["knowledge"] = _known(tested, knowledge)
    if (answers := _answers(test)) is not None:
        known = {answer for example in _answers(train) or () for answer in example}
        code = [0 if any(answer in known for answer in example) else 1 for example in answers]
        columns["answer"] = np.array(ENTITY, object)[code]
    columns["words"] = np.array(LENGTH, object)[np.searchsorted(LENGTHS, _words(test), side="left")]
    if (labels := _labels(test)) is not None:
        frequency = pd.Series([label for example in _labels(train) or () for label in set(example)]).value_counts()
        count = frequency.to_dict()
        rarest = [
            min((count.get(label, 0) for label in example if label != negative), default=-1) for example in labels
        ]
        names = np.array(["", *FREQUENCY], object)  # -1 has the name ""
        columns["label frequency"] = names[np.searchsorted((0, *FREQUENCIES), rarest, side="right")]
    return pd.DataFrame(columns, dtype="str")


def _known(tested: list[list[str]], knowledge: Sequence[Dataset]) -> np.ndarray:
    """The slice `knowledge` of each test example, by its mention, or its subject and object."""
    single: set[str] = set()
    together: set[frozenset[str]] = set()
    for found in map(_mentions, knowledge):
        single.update(*found)
        if len(found) == 2:
            together.update(map(frozenset, zip(*found, strict=True)))
    if len(tested) == 1:
        return np.array(KNOWN, object)[[0 if mention in single else 1 for mention in tested[0]]]
    code = [
        0 if frozenset(pair) in together else 3 - sum(mention in single for mention in pair)
        for pair in zip(*tested, strict=True)
    ]
    return np.array(KNOWN_PAIR, object)[code]


def masks(frame: pd.DataFrame) -> dict[tuple[str, str], np.ndarray]:
    """(kind, slice) -> which examples (n,) are in it, for every slice that has any, in the order of `KINDS`."""
    found: dict[tuple[str, str], np.ndarray] = {}
    for kind, names in KINDS.items():
        if kind in frame:
            values = frame[kind].to_numpy()
            found |= {(kind, name): values == name for name in names if (values == name).any()}
    return found


def read(folder: Path, n: int) -> pd.DataFrame | None:
    """What `attributes` found, from the run in `folder` with n test examples; None for a run that has no such file.

    Raises KAdapterError for a file that is damaged or has not n rows.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise KAdapterError(f"{path} is damaged ({error}): remove the folder, run its stage again") from None
    if len(frame) != n:
        raise KAdapterError(
            f"{path} has {len(frame)} rows for {n} test examples: remove the folder, run its stage again"
        )
    return frame


def _column(dataset: Dataset, name: str) -> list:
    return dataset.select_columns([name]).with_format("arrow")[:][name].to_pylist()


def _mentions(dataset: Dataset) -> list[list[str]]:
    """The mentions of each example: [subjects, objects], [mentions], or [] for a schema that has none; of a probe those
    of all its sentences."""
    if "sentences" in dataset.column_names:
        sentences = [sentence for example in _column(dataset, "sentences") for sentence in example]
        return [[_normalised(sentence[side]) for sentence in sentences] for side in ("subject", "object")]
    names = [
        pair
        for pair in (("subj_start", "subj_end"), ("obj_start", "obj_end"), ("start", "end"))
        if pair[0] in dataset.column_names
    ]
    texts = _column(dataset, "text") if names else []
    return [
        [
            _normalised(text[start:end])
            for text, start, end in zip(texts, _column(dataset, first), _column(dataset, last), strict=True)
        ]
        for first, last in names
    ]


def _answers(dataset: Dataset) -> list[list[str]] | None:
    """The right answers of each question; None for a schema without questions."""
    if "question" not in dataset.column_names:
        return None
    answers = _column(dataset, "answers")
    if "label" in dataset.column_names:  # a choice: -1 where the right one is not given
        answers = [
            all_[label : label + 1] if label >= 0 else []
            for all_, label in zip(answers, _column(dataset, "label"), strict=True)
        ]
    return [[_normalised(answer) for answer in example] for example in answers]


def _labels(dataset: Dataset) -> list[list[str]] | None:
    """The labels of each example; None for a schema without named labels."""
    if "labels" in dataset.column_names:
        return _column(dataset, "labels")
    if "label" in dataset.column_names and dataset.features["label"].dtype == "string":
        return [[label] for label in _column(dataset, "label")]
    return None


def _words(dataset: Dataset) -> list[int]:
    if "words" in dataset.column_names:
        return [len(words) for words in _column(dataset, "words")]
    name = next(name for name in ("context", "question", "text") if name in dataset.column_names)
    return [len(text.split()) for text in _column(dataset, name)]


def _normalised(text: str) -> str:
    return " ".join(text.casefold().split())
