"""The examples that a task is asked: those of a prepared dataset, or what the maker of a kind of knowledge makes of
them."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from datasets import Dataset

from kadapter import catalog
from kadapter.errors import KAdapterError, unknown
from kadapter.experiment.prepared import Data, label_list


class Examples:
    """The examples of every split of a dataset, and their labels.

    Args:
        data: a prepared data folder; `dataset` is one in it.
        knowledge: whose maker is asked (`kadapter.catalog.Knowledge.maker`); without one they are taken as they are.
        options: of the maker.

    Raises KAdapterError for an unknown dataset or option.
    """

    def __init__(
        self, data: Data, dataset: str, knowledge: str | None = None, options: Mapping[str, Any] | None = None
    ) -> None:
        self.data, self.dataset, self.knowledge, self.options = data, dataset, knowledge, dict(options or {})
        self.maker = None
        if knowledge is not None:
            catalog.check_examples(knowledge, self.options)
            self.maker = catalog.maker(catalog.knowledge(knowledge))
        self.names = data.splits(dataset)

    @cached_property
    def made(self) -> dict[str, Dataset]:
        """What the maker makes; all splits at once, as none may give away another. Raises KAdapterError for a split of
        which nothing can be asked."""
        assert self.maker is not None
        splits = self.maker({name: self.data.read(self.dataset, name) for name in self.names}, **self.options)
        for name, examples in splits.items():
            if not len(examples):
                raise KAdapterError(
                    f"knowledge {self.knowledge}: split {name} of dataset '{self.dataset}' has nothing that it can ask"
                )
        return splits

    @property
    def labels(self) -> list[str]:
        """The label inventory that a head for these examples has."""
        if self.maker is None:
            return self.data.labels(self.dataset)
        return sorted({label for examples in self.made.values() for label in label_list(examples)})

    def split(self, name: str) -> Dataset:
        """The examples of a split. Raises KAdapterError for one that the dataset has not."""
        if name not in self.names:
            raise unknown(f"split of {self.dataset}", name, self.names)
        return self.data.read(self.dataset, name) if self.maker is None else self.made[name]
