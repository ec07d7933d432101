"""Episodes of few-shot relation classification, drawn from a dataset by their seed alone (FewRel, Han et al., 2018; as
Zhang et al., 2023, draw them: map-tuning ledger, "Downstream protocols")."""

import random
from collections.abc import Mapping
from typing import Annotated

from datasets import Dataset, DatasetInfo

from kadapter.errors import KAdapterError
from kadapter.formats.schemas import EPISODE
from kadapter.values import Seed, checked, value

_MARKED = ("text", "subj_start", "subj_end", "obj_start", "obj_end")


@checked("parameter of episodes", leave_out=("dataset",))
def episodes(
    dataset: Dataset,
    ways: Annotated[int, value("classes of an episode", 2, 1000)] = 5,
    shots: Annotated[int, value("labelled examples of each", 1, 1000)] = 1,
    count: Annotated[int, value("episodes", 1, 10_000_000)] = 200,
    queries: Annotated[int, value("questions for each class of an episode", 1, 1000)] = 5,
    seed: Annotated[Seed, value("of the first episode; the next have the next")] = 0,
) -> Dataset:
    """Episodes of a relation dataset: a row for each query, `ways` x `queries` of an episode one after the other.

    An episode follows from its own number: `random.seed(seed + i)` draws the classes among the sorted ones, and for
    each `shots` + `queries` of its examples, in the order of the official code, so that the same file gives the
    episodes of Knowledge-Plugin. Links of the dataset (`kadapter.graphs.linking`) come along.

    Raises KAdapterError for fewer classes than `ways`, and for a class with fewer examples than an episode takes.
    """
    pool: dict[str, list[int]] = {}
    for place, label in enumerate(dataset["label"]):
        pool.setdefault(label, []).append(place)
    if len(pool) < ways:
        raise KAdapterError(f"{ways}-way episodes need {ways} classes; the dataset has {len(pool)}")
    needed = shots + queries
    small = next((label for label, members in pool.items() if len(members) < needed), None)
    if small is not None:
        raise KAdapterError(
            f"class {small!r} has {len(pool[small])} examples; an episode takes {shots} supports and {queries} queries"
        )
    columns = [*_MARKED, *(["links"] if "links" in dataset.column_names else [])]
    marked = [{"links": []} | row for row in dataset.select_columns(columns)]
    rows: list[dict] = []
    for number in range(count):
        rng = random.Random(seed + number)
        classes = rng.sample(sorted(pool), ways)
        drawn = []
        for label in classes:
            chosen = rng.sample(range(len(pool[label])), needed)
            rng.shuffle(chosen)
            drawn.append([marked[pool[label][place]] for place in chosen])
        supports = [example for examples in drawn for example in examples[:shots]]
        for label, examples in enumerate(drawn):
            for query in examples[shots:]:
                same = {"id": str(len(rows)), "episode": number, "label": label, "ways": ways, "supports": supports}
                rows.append(same | query)
    columns_of = {name: [row[name] for row in rows] for name in EPISODE}
    return Dataset.from_dict(columns_of, features=EPISODE, info=DatasetInfo(features=EPISODE))


def split_classes(dataset: Dataset, shares: Mapping[str, float], seed: int = 0) -> dict[str, Dataset]:
    """A relation dataset in parts that share no class, as FewRel's splits: name -> its share of the classes.

    Raises KAdapterError for shares above 1 together, and for a part that gets no class.
    """
    labels = sorted(set(dataset["label"]))
    if sum(shares.values()) > 1 + 1e-9:
        raise KAdapterError(f"shares of the classes: found {dict(shares)}; expected at most 1 together")
    order = random.Random(seed).sample(labels, len(labels))
    found, start = {}, 0.0
    for name, share in shares.items():
        chosen = set(order[round(start * len(order)) : round((start + share) * len(order))])
        if not chosen:
            raise KAdapterError(
                f"part {name!r} gets none of {len(order)} classes; expected a larger share than {share}"
            )
        start += share
        found[name] = dataset.select([i for i, label in enumerate(dataset["label"]) if label in chosen])
    return found
