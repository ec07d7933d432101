"""Small linked datasets and entity embeddings for tests of map-tuning."""

import numpy as np
from datasets import Dataset, Features

from kadapter.formats.schemas import LINKS, RELATION
from kadapter.graphs.embeddings import EntityEmbeddings
from tests import tiny

WIDTH = 6


def embeddings(count: int = 5, width: int = WIDTH, seed: int = 0) -> EntityEmbeddings:
    """Q0, Q1, ... with random vectors."""
    vectors = np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)
    return EntityEmbeddings.from_arrays([f"Q{i}" for i in range(count)], vectors)


def relations(n: int = 12) -> Dataset:
    """`tiny.relations`, subject linked to Q0..Q6 (of which five have a vector), every second object to Q0..Q4."""
    rows = []
    for i, row in enumerate(tiny.relations(n)):
        links = [{"start": row["subj_start"], "end": row["subj_end"], "entity": f"Q{i % 7}"}]
        if i % 2:
            links.append({"start": row["obj_start"], "end": row["obj_end"], "entity": f"Q{i % 5}"})
        rows.append(row | {"links": links})
    return Dataset.from_list(rows, features=Features(RELATION | {"links": LINKS}))


def typings(n: int = 12) -> Dataset:
    """`tiny.typings`, each mention linked to Q0..Q6."""
    found = tiny.typings(n)
    links = [[{"start": r["start"], "end": r["end"], "entity": f"Q{i % 7}"}] for i, r in enumerate(found)]
    return found.add_column("links", links, feature=LINKS)
