"""Episodes: those of the official code, drawn by their number alone, with links."""

import random

import numpy as np
import pytest
from datasets import Dataset

from kadapter.data.episodes import episodes, split_classes
from kadapter.errors import KAdapterError
from kadapter.formats import fewrel, opennre
from kadapter.formats.schemas import EPISODE, RELATION
from kadapter.graphs.linking import linked

MARKED = ("text", "subj_start", "subj_end", "obj_start", "obj_end")


@pytest.fixture(scope="module")
def relations() -> Dataset:
    rows = []
    for i in range(40):
        text, label = f"Ada{i} knows Bob{i} .", f"P{i % 4}"
        end = text.index(" knows")
        rows.append(
            {
                "id": str(i), "text": text, "subj_start": 0, "subj_end": end, "obj_start": end + 7,
                "obj_end": len(text) - 2, "label": label, "subj_id": f"Q{i}", "obj_id": "" if i % 2 else "Q1",
                "subj_type": "", "obj_type": "", "tokens": text.split(),
            }
        )  # fmt: skip
    return Dataset.from_list(rows, features=RELATION)


def official(pool, ways, shots, queries, seed):
    """The draws of Knowledge-Plugin's FewRel_formatter, written anew from their description."""
    random.seed(seed)
    found = []
    for label in random.sample(sorted(pool), ways):
        chosen = random.sample(range(len(pool[label])), shots + queries)
        random.shuffle(chosen)
        found.append(([pool[label][i] for i in chosen[:shots]], [pool[label][i] for i in chosen[shots:]]))
    return found


def test_the_episodes_of_the_official_code(relations):
    pool = {}
    for row in relations:
        pool.setdefault(row["label"], []).append(row["text"])
    made = episodes(relations, ways=3, shots=2, count=2, queries=4, seed=7)
    assert made.features == EPISODE and len(made) == 2 * 3 * 4
    rows = iter(made)
    for number in (0, 1):
        drawn = official(pool, 3, 2, 4, 7 + number)
        supports = [text for known, _ in drawn for text in known]
        for label, (_, asked) in enumerate(drawn):
            for text in asked:
                row = next(rows)
                assert (row["text"], row["label"], row["episode"], row["ways"]) == (text, label, number, 3)
                assert [support["text"] for support in row["supports"]] == supports


def test_no_query_is_its_own_support_and_seeds_say_everything(relations):
    made = episodes(relations, ways=4, shots=5, count=5, queries=5)
    assert all(row["text"] not in {s["text"] for s in row["supports"]} for row in made)
    assert made.to_list() == episodes(relations, ways=4, shots=5, count=5, queries=5).to_list()
    moved = episodes(relations, ways=4, shots=5, count=4, queries=5, seed=1).to_list()
    assert [row["text"] for row in moved] == made["text"][20:]


def test_mentions_and_links_come_along(relations):
    with_links = linked(relations).dataset
    by_text = {row["text"]: row for row in with_links}
    for row in episodes(with_links, ways=2, shots=1, count=2):
        for part in (row, *row["supports"]):
            assert {name: part[name] for name in (*MARKED, "links")} == {
                name: by_text[part["text"]][name] for name in (*MARKED, "links")
            }
    assert np.all([row["links"] == [] for row in episodes(relations, ways=2, count=1)])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"ways": 5}, "5-way episodes need 5 classes; the dataset has 4"),
        ({"ways": 4, "shots": 8}, "class 'P0' has 10 examples; an episode takes 8 supports and 5 queries"),
        ({"ways": 1}, "ways"),
    ],
)
def test_too_few(relations, settings, said):
    with pytest.raises(KAdapterError, match=said):
        episodes(relations, **settings)


def test_parts_share_no_class(relations):
    parts = split_classes(relations, {"train": 0.5, "dev": 0.25, "test": 0.25}, seed=1)
    labels = [set(part["label"]) for part in parts.values()]
    assert [len(found) for found in labels] == [2, 1, 1] and len(set.union(*labels)) == 4
    assert sum(map(len, parts.values())) == len(relations)
    with pytest.raises(KAdapterError, match="part 'dev' gets none of 4 classes"):
        split_classes(relations, {"train": 0.9, "dev": 0.05})
    with pytest.raises(KAdapterError, match="expected at most 1 together"):
        split_classes(relations, {"train": 0.9, "dev": 0.5})


def test_wiki80_as_fewrel(real_data, tmp_path):
    """Wiki80 is made of FewRel: written in its format it gives the episodes of all four settings."""
    wiki80 = opennre.read(real_data / "wiki80" / "wiki80_val.txt.gz")
    fewrel.write(wiki80, tmp_path / "wiki80.json")
    read = fewrel.read(tmp_path / "wiki80.json")
    parts = split_classes(read, {"train": 0.8, "test": 0.2})
    assert len(set(parts["test"]["label"])) == 16
    for ways, shots in ((5, 1), (5, 5), (10, 1), (10, 5)):
        made = episodes(linked(parts["test"]).dataset, ways=ways, shots=shots, count=4)
        assert len(made) == 4 * ways * 5 and all(len(row["supports"]) == ways * shots for row in made)
        assert all(len(row["links"]) == 2 for row in made)
