"""Facts in real sentences: LAMA's masked T-REx sentences with their object put back, so that an adapter may learn from
them which relation holds, as from T-REx-rc (Section 3.2)."""

import random
from collections.abc import Iterator, Mapping
from typing import Any

from datasets import Dataset

from kadapter.formats.lama import restore
from kadapter.formats.schemas import RELATION
from kadapter.formats.spans import token_ends
from kadapter.knowledge.making import MadeBy, Most, most_of, table


def examples(splits: Mapping[str, Dataset], *, most: Most = 0, seed: MadeBy = 0) -> dict[str, Dataset]:
    """Rows of the RELATION schema, one for each sentence whose subject is found in it, from splits of the PROBE schema.

    A fact's sentences stay in its split. With the same seed the sentences of a smaller `most` are not all among those
    of a larger one; dev and test are drawn as train is.
    """
    made = {}
    for split, dataset in splits.items():
        rows = [row for fact in dataset for row in _restored(fact)]
        made[split] = table(most_of(rows, most, random.Random(f"{seed}/{split}")), RELATION)
    return made


def _restored(fact: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A row for each sentence of a fact, in its words; one that comes twice counts once."""
    seen = set()
    for number, sentence in enumerate(fact["sentences"]):
        _, found = restore(**sentence)
        if found is None or sentence["text"] in seen:
            continue
        seen.add(sentence["text"])
        tokens = found["token"]
        ends = token_ends(tokens)
        spans: dict[str, int] = {}
        for side in ("subj", "obj"):
            first, last = found[f"{side}_start"], found[f"{side}_end"]
            spans |= {f"{side}_start": ends[first] - len(tokens[first]), f"{side}_end": ends[last]}
        named = {"subj_id": fact["subj_id"], "obj_id": fact["obj_id"], "subj_type": "", "obj_type": ""}
        row = {"id": f"{fact['id']}-{number}", "text": " ".join(tokens), "label": fact["relation"], "tokens": tokens}
        yield row | spans | named
