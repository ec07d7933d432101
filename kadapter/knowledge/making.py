"""What the makers of examples share: a kind of knowledge is often asked of examples that its published files do not
hold as they are, such as facts that are none. A maker takes the splits of a dataset and gives the splits of another."""

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, TypeVar

import pyarrow as pa
from datasets import Dataset, DatasetInfo, Features

from kadapter.values import Seed, value

Most = Annotated[int, value("examples of each split, drawn by the seed; 0: all", 0, 100_000_000)]
MadeBy = Annotated[Seed, value("of what is drawn; not the training's, so that every training is asked the same")]
T = TypeVar("T")


def most_of(rows: Sequence[T], most: int, rng: random.Random) -> list[T]:
    """At most so many rows, drawn, in their order; 0: all."""
    if not most or len(rows) <= most:
        return list(rows)
    return [rows[place] for place in sorted(rng.sample(range(len(rows)), most))]


def table(rows: Iterable[Mapping], schema: Features) -> Dataset:
    """Rows as a dataset, which may have none."""
    return Dataset(pa.Table.from_pylist(list(rows), schema=schema.arrow_schema), info=DatasetInfo(features=schema))
