"""Was this mention replaced? Sentences in which one of two mentions may be another entity of its type (WKLM, Xiong et
al., 2020, "Pretrained Encyclopedia")."""

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping

from datasets import Dataset

from kadapter.formats.schemas import RELATION
from kadapter.knowledge.making import MadeBy, Most, most_of, table

OWN, REPLACED = "own", "replaced"
SIDES = ("subj", "obj")
TRIES = 50  # entities drawn for one mention before it is left out


def examples(splits: Mapping[str, Dataset], *, most: Most = 0, seed: MadeBy = 0) -> dict[str, Dataset]:
    """Rows of the RELATION schema from others: the subject is the mention that is asked about, `own` or `replaced`.

    Of each sentence one mention, as a coin says, is asked about twice: as it is, and with the name of an entity of its
    type in its place: the type that the data gives, or else the side of the relation on which it stands. The new entity
    is in no sentence of any split with the other mention. Sentences whose mentions overlap, and types of one entity,
    are left out.
    """
    known = Mentions(splits.values())
    made = {}
    for split, dataset in splits.items():
        rng = random.Random(f"{seed}/{split}")
        rows = [row for row in dataset if row["subj_end"] <= row["obj_start"] or row["obj_end"] <= row["subj_start"]]
        found = []
        for row in most_of(rows, most // 2, rng):
            side = rng.choice(SIDES)
            if (other := known.other(row, side, rng)) is not None:
                found += [asked(row, side, OWN), asked(renamed(row, side, *other), side, REPLACED)]
        made[split] = table(found, RELATION)
    return made


class Mentions:
    """Which entities stand on which side of each relation, with the words that name them, and which stand together."""

    def __init__(self, datasets: Iterable[Dataset]) -> None:
        found: dict[tuple, dict[str, dict[str, None]]] = defaultdict(lambda: defaultdict(dict))
        self.pairs: set[frozenset[str]] = set()
        for row in (row for dataset in datasets for row in dataset):
            self.pairs.add(frozenset(entity(row, side) for side in SIDES))
            for side in SIDES:
                found[kind(row, side)][entity(row, side)][surface(row, side)] = None
        self.of = {key: {name: list(words) for name, words in names.items()} for key, names in found.items()}
        self.names = {key: list(names) for key, names in self.of.items()}

    def other(self, row: Mapping, side: str, rng: random.Random) -> tuple[str, str] | None:
        """Another entity for a mention, and words that name it; None where none was found."""
        beside, names = entity(row, SIDES[side == "subj"]), self.names[kind(row, side)]
        for _ in range(TRIES if len(names) > 1 else 0):
            name = rng.choice(names)
            if name != beside and frozenset((name, beside)) not in self.pairs:
                return name, rng.choice(self.of[kind(row, side)][name])
        return None


def surface(row: Mapping, side: str) -> str:
    """The words of a mention."""
    return row["text"][row[f"{side}_start"] : row[f"{side}_end"]]


def entity(row: Mapping, side: str) -> str:
    """Which entity a mention is: its id, or its words where the data has none."""
    return row[f"{side}_id"] or surface(row, side).casefold()


def kind(row: Mapping, side: str) -> tuple[str, ...]:
    """The type of a mention, or the side of the relation that it stands on where the data gives none."""
    return (row[f"{side}_type"],) if row[f"{side}_type"] else (row["label"], side)


def renamed(row: Mapping, side: str, name: str, words: str) -> dict:
    """A row with another entity in a mention's place."""
    start, end = row[f"{side}_start"], row[f"{side}_end"]
    moved = len(words) - (end - start)
    out = dict(row) | {"text": row["text"][:start] + words + row["text"][end:], f"{side}_id": name, "tokens": []}
    out[f"{side}_end"] = end + moved
    other = SIDES[side == "subj"]
    if row[f"{other}_start"] >= end:
        out |= {f"{other}_{edge}": row[f"{other}_{edge}"] + moved for edge in ("start", "end")}
    return out


def asked(row: Mapping, side: str, label: str) -> dict:
    """A row whose subject is the mention on this side."""
    other = SIDES[side == "subj"]
    columns = ("start", "end", "id", "type")
    mentions = {f"subj_{c}": row[f"{side}_{c}"] for c in columns} | {f"obj_{c}": row[f"{other}_{c}"] for c in columns}
    return dict(row) | mentions | {"label": label, "id": f"{row['id']}-{side}-{label}", "tokens": []}
