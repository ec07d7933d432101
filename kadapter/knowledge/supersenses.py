"""What kind of thing is a hidden word: its WordNet supersense, a person, an act, a substance, ... (SenseBERT, Levine et
al., 2020)."""

import random
from collections.abc import Iterator, Mapping

from datasets import Dataset

from kadapter.formats.schemas import SYNSET, TYPING
from kadapter.knowledge import wordnet
from kadapter.knowledge.making import MadeBy, Most, most_of, table


def examples(splits: Mapping[str, Dataset], *, most: Most = 0, seed: MadeBy = 0) -> dict[str, Dataset]:
    """Rows of the TYPING schema, the word to be hidden and its supersenses.

    Of splits of the SYNSET schema each example that has a word of its synset, with the synset's supersense. Of other
    text (the DEPENDENCY schema: a treebank) one noun or verb of each sentence, with all the supersenses that the
    installed WordNet gives it, as SenseBERT takes plain text.
    """
    made = {}
    for split, dataset in splits.items():
        rng = random.Random(f"{seed}/{split}")
        whole = dataset.features.keys() == SYNSET.keys()
        found = list(_of_synsets(dataset) if whole else _of_text(dataset, rng))
        made[split] = table(most_of(found, most, rng), TYPING)
    return made


def _of_synsets(dataset: Dataset) -> Iterator[dict]:
    for row in dataset:
        for number, (text, _, start, end) in enumerate(wordnet.mentions(row)):
            yield _row(f"{row['id']}-{number}", text, start, end, [row["supersense"]])


def _of_text(dataset: Dataset, rng: random.Random) -> Iterator[dict]:
    senses = wordnet.installed(wordnet.folder())
    for row in dataset:
        words = row["words"]
        known = [(place, labels) for place, word in enumerate(words) if (labels := senses.of(word, row["upos"][place]))]
        if known:
            place, labels = rng.choice(known)
            start = sum(len(word) + 1 for word in words[:place])
            yield _row(row["id"], " ".join(words), start, start + len(words[place]), list(labels))


def _row(id: str, text: str, start: int, end: int, labels: list[str]) -> dict:
    return {"id": id, "text": text, "start": start, "end": end, "labels": labels, "ents": []}
