"""Facts between descriptions: which description is that of the tail, of a head's description and a relation (KEPLER,
Wang et al., 2021)."""

import random
from collections.abc import Mapping
from itertools import islice
from typing import Annotated

from datasets import Dataset

from kadapter.formats.schemas import MATCH
from kadapter.knowledge.making import MadeBy, Most, most_of, table
from kadapter.knowledge.truth import CORRUPT, Graph
from kadapter.values import OneOf, value


def examples(
    splits: Mapping[str, Dataset],
    *,
    corrupt: Annotated[
        str,
        OneOf("corrupt", CORRUPT),
        value("wrong tails: `any` entity, or one that is a tail of the relation (`slot`)"),
    ] = "any",
    wrong: Annotated[int, value("wrong tails beside the right one", 1, 100)] = 3,
    most: Most = 0,
    seed: MadeBy = 0,
) -> dict[str, Dataset]:
    """Rows of the MATCH schema from splits of the FACT schema: a head's text, the relation, and texts of tails, one of
    which makes a fact; the others make none in any split."""
    graph = Graph(splits)
    made = {}
    for split, dataset in splits.items():
        rng = random.Random(f"{seed}/{split}")
        found = []
        for row in most_of([row for row in dataset if row["holds"]], most, rng):
            others = [other["tail_text"] for other in islice(graph.others(row, rng, corrupt, ("tail",)), wrong)]
            if len(others) == wrong and row["tail_text"] not in others:
                tails = rng.sample([row["tail_text"], *others], 1 + wrong)
                texts = [{"text": text, "spans": []} for text in (row["head_text"], *tails)]
                answer = tails.index(row["tail_text"])
                found.append({"id": row["id"], "label": row["relation"], "answer": answer, "texts": texts})
        made[split] = table(found, MATCH)
    return made
