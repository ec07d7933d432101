"""The table that a format's records become, and the rows it is written from."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, DatasetInfo, Features

from kadapter.errors import FormatError, KAdapterError

BATCH = 1000  # rows that become one Arrow batch; times files.LONGEST this stays within Arrow's 2 GiB of text


class Rows:
    """Collects a data set's rows: `add` takes the values in the schema's order."""

    def __init__(self, path: Path | str, schema: Features) -> None:
        self.path, self.schema, self.arrow = Path(path), schema, schema.arrow_schema
        self.dropped: Counter[str] = Counter()
        self.rows: list[tuple] = []
        self.batches: list[pa.RecordBatch] = []
        self.count = 0

    def add(self, *values: object) -> None:
        self.rows.append(values)
        self.count += 1
        if len(self.rows) == BATCH:
            self._flush()

    def drop(self, reason: str, count: int = 1) -> None:
        self.dropped[reason] += count

    def _flush(self) -> None:
        columns = [
            pa.array(values, type) for values, type in zip(zip(*self.rows, strict=True), self.arrow.types, strict=True)
        ]
        self.batches.append(pa.RecordBatch.from_arrays(columns, schema=self.arrow))
        self.rows.clear()

    def dataset(self) -> Dataset:
        if not self.count:
            left_out = "".join(f" ({count} dropped: {reason})" for reason, count in self.dropped.items())
            raise FormatError(self.path, "file", "records", 0, "at least one record" + left_out)
        if self.rows:
            self._flush()
        description = "\n".join(f"dropped {reason}: {count}" for reason, count in self.dropped.items())
        info = DatasetInfo(features=self.schema, description=description)
        return Dataset(pa.Table.from_batches(self.batches, self.arrow), info=info)


def rows_of(dataset: Dataset, schema: Features) -> Iterator[dict]:
    """Every row of a data set as a dict, after checking that it has the schema's columns, their types and no nulls."""
    missing = [name for name in schema if name not in dataset.column_names]
    if missing:
        raise KAdapterError(f"the data set has no column {missing[0]!r}; expected the columns {', '.join(schema)}")
    if not len(dataset):
        raise KAdapterError("the data set has no rows; expected at least one to write")
    arrow = schema.arrow_schema
    for batch in dataset.select_columns(list(schema)).with_format("arrow").iter(BATCH):
        for field in arrow:
            try:
                column = batch[field.name].cast(field.type)
            except (pa.ArrowException, ValueError) as error:
                found = batch[field.name].type
                raise KAdapterError(f"column {field.name!r} is {found}; expected {field.type} ({error})") from None
            inner = column if not pa.types.is_list(field.type) else pc.list_flatten(column)
            if column.null_count or inner.null_count:
                raise KAdapterError(f"column {field.name!r} has nulls; expected {field.type} in every row")
        yield from batch.to_pylist()
