"""The table that a format's records become, and the rows it is written from."""

import hashlib
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, DatasetInfo, Features
from datasets.fingerprint import get_temporary_cache_files_directory
from datasets.table import MemoryMappedTable

from kadapter.errors import FormatError, KAdapterError

BATCH = 1000  # rows that become one Arrow batch; times files.LONGEST this stays within Arrow's 2 GiB of text
KEEP = 1 << 27  # bytes of a table that stay in memory; a larger one goes to disk and is memory-mapped


class Rows:
    """Collects a data set's rows: `add` takes the values in the schema's order.

    A table of more than `KEEP` bytes is written to a temporary file batch by batch and memory-mapped, so that memory
    stays bounded whatever the file's size.
    """

    def __init__(self, path: Path | str, schema: Features) -> None:
        self.path, self.schema, self.arrow = Path(path), schema, schema.arrow_schema
        self.dropped: Counter[str] = Counter()
        self.rows: list[tuple] = []
        self.batches: list[pa.RecordBatch] = []
        self.count = self.bytes = 0
        self.spill: Path | None = None

    def add(self, *values: object) -> None:
        """One row, its values in the schema's order."""
        self.rows.append(values)
        self.count += 1
        if len(self.rows) == BATCH:
            self._flush()

    def drop(self, reason: str, count: int = 1) -> None:
        """Counts records that are left out, and why."""
        self.dropped[reason] += count

    def _flush(self) -> None:
        columns = [
            pa.array(values, type) for values, type in zip(zip(*self.rows, strict=True), self.arrow.types, strict=True)
        ]
        batch = pa.RecordBatch.from_arrays(columns, schema=self.arrow)
        self.rows.clear()
        self.bytes += batch.nbytes
        if self.bytes > KEEP and not self.spill:
            # The library removes this folder when the process ends or the last data set in it is gone.
            self.spill = Path(get_temporary_cache_files_directory()) / f"{uuid.uuid4().hex}.arrow"
            self.writer = pa.ipc.new_stream(str(self.spill), self.arrow)
            for kept in self.batches:
                self.writer.write_batch(kept)
            self.batches.clear()
        if self.spill:
            self.writer.write_batch(batch)
        else:
            self.batches.append(batch)

    def dataset(self) -> Dataset:
        """The table of all rows; raises FormatError where there is none."""
        if not self.count:
            left_out = "".join(f" ({count} dropped: {reason})" for reason, count in self.dropped.items())
            raise FormatError(self.path, "file", "records", 0, "at least one record" + left_out)
        if self.rows:
            self._flush()
        description = "\n".join(f"dropped {reason}: {count}" for reason, count in self.dropped.items())
        info = DatasetInfo(features=self.schema, description=description)
        if not self.spill:
            return Dataset(pa.Table.from_batches(self.batches, self.arrow), info=info)
        self.writer.close()
        with open(self.spill, "rb") as file:
            fingerprint = hashlib.file_digest(file, "blake2b").hexdigest()[:16]  # the content's, not the file name's
        return Dataset(MemoryMappedTable.from_file(str(self.spill)), info=info, fingerprint=fingerprint)


def rows_of(dataset: Dataset, schema: Features) -> Iterator[dict]:
    """Every row of a data set as a dict, after checking that it has the schema's columns, their types and no nulls."""
    missing = [name for name in schema if name not in dataset.column_names]
    if missing:
        raise KAdapterError(f"the data set has no column {missing[0]!r}; expected the columns {', '.join(schema)}")
    if not len(dataset):
        raise KAdapterError("the data set has no rows; expected at least one to write")
    arrow = schema.arrow_schema
    for batch in dataset.select_columns(list(schema)).with_format("arrow").iter(BATCH):
        columns = []
        for field in arrow:
            try:
                column = batch[field.name].cast(field.type)
            except (pa.ArrowException, ValueError) as error:
                found = batch[field.name].type
                raise KAdapterError(f"column {field.name!r} is {found}; expected {field.type} ({error})") from None
            inner = column if not pa.types.is_list(field.type) else pc.list_flatten(column)
            if column.null_count or inner.null_count:
                raise KAdapterError(f"column {field.name!r} has nulls; expected {field.type} in every row")
            columns.append(column)
        yield from pa.table(columns, schema=arrow).to_pylist()
