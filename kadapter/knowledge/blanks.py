"""Do two sentences with blanked entities hold the same pair? (Matching the Blanks, Baldini Soares et al., 2019.)"""

import random
from collections import defaultdict
from collections.abc import Mapping
from typing import Annotated

from datasets import Dataset

from kadapter.formats.schemas import MATCH
from kadapter.knowledge.making import MadeBy, Most, most_of, table
from kadapter.knowledge.replaced import SIDES, entity
from kadapter.values import value

BLANK = "[BLANK]"
TRIES = 50  # sentences drawn for each wrong one

Pair = tuple[str, str]


def examples(
    splits: Mapping[str, Dataset],
    *,
    blank: Annotated[float, value("probability with which a mention becomes [BLANK] (alpha in the paper)", 0, 1)] = 0.7,
    wrong: Annotated[
        int, value("sentences beside the right one; the first shares an entity where one does", 1, 100)
    ] = 3,
    most: Most = 0,
    seed: MadeBy = 0,
) -> dict[str, Dataset]:
    """Rows of the MATCH schema from splits of the RELATION schema: a sentence of the split, another about its two
    entities (of the same split if it has one, else of any), and others about other pairs. Both mentions are read."""
    everywhere: dict[Pair, list[Mapping]] = defaultdict(list)
    for dataset in splits.values():
        for row in dataset:
            if row["subj_end"] <= row["obj_start"] or row["obj_end"] <= row["subj_start"]:
                everywhere[_pair(row)].append(row)
    made = {}
    for split, dataset in splits.items():
        rng = random.Random(f"{seed}/{split}")
        rows = list(dataset)
        sharing: dict[str, list[Mapping]] = defaultdict(list)
        own: dict[Pair, list[Mapping]] = defaultdict(list)
        for row in rows:
            own[_pair(row)].append(row)
            for side in SIDES:
                sharing[entity(row, side)].append(row)
        able = [row for row in rows if len({r["text"] for r in everywhere[_pair(row)]}) > 1]
        found = []
        for row in most_of(able, most, rng):
            right = _other(row, own[_pair(row)], rng) or _other(row, everywhere[_pair(row)], rng)
            others = _others(row, sharing, rows, wrong, rng)
            if right is not None and len(others) == wrong:
                texts = rng.sample([right, *others], 1 + wrong)
                found.append(
                    {
                        "id": row["id"],
                        "label": "",
                        "answer": texts.index(right),
                        "texts": [_blanked(each, blank, rng) for each in (row, *texts)],
                    }  # fmt: skip
                )
        made[split] = table(found, MATCH)
    return made


def _pair(row: Mapping) -> Pair:
    return entity(row, "subj"), entity(row, "obj")


def _other(row: Mapping, rows: list[Mapping], rng: random.Random) -> Mapping | None:
    others = [other for other in rows if other["text"] != row["text"]]
    return rng.choice(others) if others else None


def _others(row: Mapping, sharing: Mapping, rows: list[Mapping], wrong: int, rng: random.Random) -> list[Mapping]:
    """Sentences about other pairs, each once, the first with one of the two entities if there is one."""
    near = [r for side in SIDES for r in sharing[entity(row, side)] if set(_pair(r)) != set(_pair(row))]
    found = [rng.choice(near)] if near else []
    for _ in range(TRIES * wrong):
        if len(found) == wrong:
            break
        other = rng.choice(rows)
        if set(_pair(other)) != set(_pair(row)) and all(other["text"] != each["text"] for each in found):
            found.append(other)
    return found


def _blanked(row: Mapping, blank: float, rng: random.Random) -> dict:
    """A sentence with its mentions, each a blank or its words; the subject first."""
    text: str = row["text"]
    spans: dict[str, tuple[int, int]] = {}
    for side in sorted(SIDES, key=lambda side: -row[f"{side}_start"]):  # from the end, so that places stay
        start, end = row[f"{side}_start"], row[f"{side}_end"]
        words = BLANK if rng.random() < blank else text[start:end]
        text = text[:start] + words + text[end:]
        spans = {other: (s + len(words) - end + start, e + len(words) - end + start) for other, (s, e) in spans.items()}
        spans[side] = (start, start + len(words))
    return {"text": text, "spans": [dict(zip(("start", "end"), spans[side], strict=True)) for side in SIDES]}
