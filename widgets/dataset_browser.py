"""Look at what a format read: text, spans, labels, trees, questions, page by page, and what was left out."""

from collections.abc import Callable
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset

from kadapter import catalog, runs
from kadapter.errors import KAdapterError, unknown
from kadapter.experiment.prepared import MANIFEST, Data, label_counts, label_list
from kadapter.world.facts import property_name
from widgets import style
from widgets.background import Progress, Work
from widgets.dataset_rows import row_html
from widgets.static_view import Controls

PAGE = 10  # examples that the browser gets at a time
PATIENCE = 2.0  # seconds that a cell waits for data before it shows that it is being read
COUNTS = 15  # labels in the table of counts
ANY = "any label"


class DatasetBrowser(Controls):
    """Pages through a dataset, filtered by label and text.

    Args:
        source: a `datasets.Dataset`; a file, with its `format`; or a folder prepared by notebook 01_build_data (or its
            `Data`), whose `dataset` and `split` can then be chosen.
        format: a name of `kadapter.catalog.FORMATS`.
        dataset, split: what to show first of a prepared folder; empty for its first one.

    Attributes:
        examples: the dataset that is shown; None before it is read.
        found: the positions of the examples that pass the filters.

    Raises KAdapterError for an unknown name, and for a file without a format.
    """

    def __init__(
        self, source: Dataset | Data | str | Path, format: str = "", dataset: str = "", split: str = ""
    ) -> None:
        self.examples: Any = None  # a Dataset, once it is read
        self.found = np.arange(0)
        self._data: Any = None  # a prepared folder, where there is one
        self._controls()
        super().__init__(
            [self._sources, self._work.box, self._message, self._about, self._filters, self._page, self._moves]
        )
        if isinstance(source, Dataset):
            self._take(source)
        elif isinstance(source, Data) or (runs.resolve(source) / MANIFEST).is_file():
            self._data = source if isinstance(source, Data) else Data(runs.resolve(source))
            names = list(self._data.manifest["datasets"])
            if dataset and dataset not in names:
                raise unknown("dataset", dataset, names)
            self._sources.layout.display = ""
            self._quiet = True
            self._dataset.options, self._dataset.value = names, dataset or names[0]
            self._splits(split)
            self._read()
        elif not format:
            raise KAdapterError(
                f"{source}: a file needs its format, one of {', '.join(catalog.FORMATS)}; a folder, the "
                f"{MANIFEST} that notebook 01_build_data leaves"
            )
        else:
            module = catalog.format_module(format)
            if not Path(source).expanduser().exists():
                raise KAdapterError(f"{source} does not exist; expected a file in the format {format}")
            self._load(lambda: module.read(Path(source).expanduser()))

    def _controls(self) -> None:
        self._dataset = ipywidgets.Dropdown(description="dataset", tooltip="Which dataset")
        self._split = ipywidgets.Dropdown(description="split", tooltip="Which split")
        self._sources = ipywidgets.HBox([self._dataset, self._split], layout={"display": "none"})
        self._work = Work(lambda: self._say("Reading was stopped: choose a dataset to read it again."))
        self._message, self._about, self._page = ipywidgets.HTML(), ipywidgets.HTML(), ipywidgets.HTML()
        self._label = ipywidgets.Dropdown(description="label", options=[ANY], tooltip="Only examples with this label")
        self._search = ipywidgets.Text(
            description="text", placeholder="words to look for", continuous_update=False,
            tooltip="Only examples whose text contains this; Enter to search",
        )  # fmt: skip
        self._filters = ipywidgets.HBox([self._label, self._search])
        self._back = ipywidgets.Button(description="Previous page", icon="chevron-left", tooltip="The page before")
        self._next = ipywidgets.Button(description="Next page", icon="chevron-right", tooltip="The page after")
        self._number = ipywidgets.BoundedIntText(
            description="page", min=1, max=1, value=1, layout={"width": "160px"}, tooltip="Page number"
        )
        self._of = ipywidgets.HTML()
        self._moves = ipywidgets.HBox([self._back, self._number, self._next, self._of])
        self._quiet = False
        self._dataset.observe(lambda _: self._safely(self._splits, self._read), "value")
        self._split.observe(lambda _: self._safely(self._read), "value")
        for control in (self._label, self._search):
            control.observe(lambda _: self._safely(self._filter), "value")
        self._number.observe(lambda _: self._safely(self._show), "value")
        self._back.on_click(lambda _: setattr(self._number, "value", self._number.value - 1))
        self._next.on_click(lambda _: setattr(self._number, "value", self._number.value + 1))

    # --- what is shown ---

    def _splits(self, split: str = "") -> None:
        splits = list(self._data.manifest["datasets"][self._dataset.value]["splits"])
        if split and split not in splits:
            raise unknown(f"split of {self._dataset.value}", split, splits)
        self._quiet = True
        self._split.options, self._split.value = splits, split or splits[0]
        self._quiet = False

    def _read(self) -> None:
        dataset, split = self._dataset.value, self._split.value
        self._load(lambda: self._data.read(dataset, split))

    def _load(self, read: Callable[[], Dataset]) -> None:
        def job(progress: Progress) -> Dataset:
            progress(0, "reading")
            return read()

        self._work.submit(job, self._take, lambda problem: self._say(style.message(problem)))

    def _take(self, examples: Dataset) -> None:
        self.examples = examples
        self._quiet = True
        self._label.options, self._label.value = _choices(examples), ANY
        self._search.value = ""
        self._quiet = False
        self._label.layout.display = "" if len(self._label.options) > 1 else "none"
        self._about.value = self._facts()
        self._say("")
        self._filter()

    def _ipython_display_(self) -> None:
        with suppress(TimeoutError):  # what is read soon stands in the first picture, too
            self._work.wait(PATIENCE)
        super()._ipython_display_()

    def wait(self) -> "DatasetBrowser":
        """Until the data is read; for scripts."""
        self._work.wait()
        return self

    def _filter(self) -> None:
        if self.examples is None:
            return
        mask = np.ones(len(self.examples), bool)
        if self._label.value not in (None, ANY):
            mask &= _has_label(self.examples, self._label.value)
        if self._search.value:
            mask &= _contains(self.examples, self._search.value)
        self.found = np.flatnonzero(mask)
        self._quiet = True
        self._number.max = max(1, -(-len(self.found) // PAGE))
        self._number.value = 1
        self._quiet = False
        self._show()

    def _show(self) -> None:
        self._page.value = self._cards()
        self._of.value = style.note(self._place())
        self._back.disabled = self._number.value <= 1
        self._next.disabled = self._number.value >= self._number.max
        self.changed()

    def _place(self) -> str:
        first = (self._number.value - 1) * PAGE
        shown = f"examples {first + 1} to {min(first + PAGE, len(self.found))} of " if len(self.found) else ""
        return f"{shown}{len(self.found):,}" + (
            f" found in {len(self.examples):,}" if len(self.found) < len(self.examples) else ""
        )

    def _cards(self) -> str:
        first = (self._number.value - 1) * PAGE
        rows = self.examples.select(self.found[first : first + PAGE].tolist())
        cards = "".join(
            '<div style="border-top: 1px solid var(--jp-border-color2, rgba(128, 128, 128, 0.3)); padding: 4px 0">'
            f"{style.note(row['id'] if 'id' in row else str(place))}{row_html(row)}</div>"
            for place, row in zip(self.found[first : first + PAGE].tolist(), rows, strict=True)
        )
        return cards or "<p>No example passes these filters.</p>"

    def _facts(self) -> str:
        """How many examples, what was left out, and the most frequent labels as a table with bars."""
        lines = [f"<b>{len(self.examples):,} examples</b>"]
        if self.examples.info.description:
            lines.append("left out while reading: " + escape("; ".join(self.examples.info.description.splitlines())))
        counts = label_counts(self.examples)
        if len(counts):
            lines.append(f"{len(counts)} labels")
        most = counts["examples"].max() if len(counts) else 1
        bars = "".join(
            f"<tr><td>{escape(property_name(str(label)))}</td><td>{number:,}</td>"
            "<td><div style='background: #0072b2; height: 9px; "
            f"width: {max(1, round(160 * number / most))}px'></div></td></tr>"
            for label, number in counts.head(COUNTS).itertuples(index=False)
        )
        more = f"<p>and {len(counts) - COUNTS} rarer labels</p>" if len(counts) > COUNTS else ""
        head = "<tr><th>label</th><th>examples</th><th></th></tr>"
        table = f"<table class='kadapter-table'>{head}{bars}</table>" if bars else ""
        shut = f"<details><summary>How often each label occurs</summary>{table}{more}</details>" if table else ""
        return f"<div>{' · '.join(lines)}</div>{shut}"

    def summary(self) -> str:
        if self.examples is None:
            return "DatasetBrowser(reading)"
        return f"DatasetBrowser({len(self.examples)} examples, {len(self.found)} shown, page {self._number.value})"

    def picture(self) -> str:
        if self.examples is None:
            return self._message.value or "<p>Reading …</p>"
        named = f"{self._dataset.value}, {self._split.value}: " if self._data else ""
        return f"<p>{escape(named)}{escape(self._place())}</p>{self._facts()}{self._cards()}"


def _texts(examples: Dataset) -> pa.ChunkedArray:
    """One text for each example, of every column that people read."""
    columns = []
    table = examples.with_format("arrow")[:]
    for name in ("text", "words", "context", "question", "answers", "paragraphs", "subject", "object", "head", "tail"):
        if name in examples.column_names:
            column = table[name]
            is_list = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
            columns.append(pc.binary_join(column, " ") if is_list else column)
    if not columns:
        columns = [table[name] for name in table.column_names if pa.types.is_string(table[name].type)]
    if not columns:
        raise KAdapterError(f"no column of this dataset holds text to look for: {', '.join(examples.column_names)}")
    return pc.binary_join_element_wise(*columns, " ") if len(columns) > 1 else columns[0]


def _contains(examples: Dataset, text: str) -> np.ndarray:
    return pc.match_substring(_texts(examples), text, ignore_case=True).to_numpy().astype(bool)


def _choices(examples: Dataset) -> list[tuple[str, str]]:
    return [(ANY, ANY), *((property_name(label), label) for label in label_list(examples))]


def _has_label(examples: Dataset, label: str) -> np.ndarray:
    if "labels" not in examples.column_names:
        return pc.equal(examples.with_format("arrow")[:]["label"], label).to_numpy().astype(bool)
    column = examples.with_format("arrow")[:]["labels"].combine_chunks()
    mask = np.zeros(len(column), bool)
    parents, values = pc.list_parent_indices(column), pc.list_flatten(column)
    mask[parents.filter(pc.equal(values, label)).to_numpy()] = True
    return mask
