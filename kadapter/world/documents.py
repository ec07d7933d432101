"""Raw T-REx documents (Elsahar et al., 2018; Section 3.3 of the paper) of the generated world's factual corpus.

Real T-REx has entities that were found without a place in the text and places that are no words; so has this, for a
builder to drop. What is left when those are dropped are the sentences of `World.knowledge`.
"""

import json
import random
from collections.abc import Iterator
from pathlib import Path

from kadapter.world.corpora import World
from kadapter.world.sentences import token_bounds

URI = "http://www.wikidata.org/entity/"
PER_FILE = 250  # documents
NULL_BOUNDARIES, OFF_WORDS = 0.05, 0.05
"""Further triples per sentence that cannot be aligned: without a place, and with a place that is no words."""


def documents(world: World) -> Iterator[dict]:
    """One document per entity, with every sentence of the factual corpus, train and dev, of which it is the subject."""
    rng = world.rng("documents")
    rows: dict[str, list[dict]] = {}
    for split in world.knowledge_rows.values():
        for row in split:
            rows.setdefault(row["subj_id"], []).append(row)
    for entity in world.entities:
        yield _document(entity.id, entity.name, rows[entity.id], rng)


def write_documents(world: World, folder: Path) -> int:
    """Writes `documents-000.json` and so on, each a JSON list; the number of documents."""
    found = list(documents(world))
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(0, len(found), PER_FILE):
        name = f"documents-{number // PER_FILE:03}.json"
        (folder / name).write_text(json.dumps(found[number : number + PER_FILE]) + "\n", encoding="utf-8")
    return len(found)


def _document(id: str, title: str, rows: list[dict], rng: random.Random) -> dict:
    sentences, words, entities, triples = [], [], [], []
    offset = 0
    for number, row in enumerate(rows):
        sentences.append([offset, offset + len(row["text"])])
        words += [[offset + start, offset + end] for start, end in token_bounds(row["tokens"])]
        subject, object = (_entity(row, kind, offset) for kind in ("subj", "obj"))
        entities += [subject, object]
        triples.append(_triple(subject, row["label"], object, number))
        if rng.random() < NULL_BOUNDARIES:
            triples.append(_triple(subject | {"boundaries": None}, row["label"], object, number))
        if rng.random() < OFF_WORDS:
            start, end = object["boundaries"]
            triples.append(_triple(subject, row["label"], object | {"boundaries": [start + 1, end]}, number))
        offset += len(row["text"]) + 1
    return {
        "docid": URI + id,
        "title": title,
        "uri": URI + id,
        "text": " ".join(row["text"] for row in rows),
        "sentences_boundaries": sentences,
        "words_boundaries": words,
        "entities": entities,
        "triples": triples,
    }


def _entity(row: dict, kind: str, offset: int) -> dict:
    start, end = row[f"{kind}_start"], row[f"{kind}_end"]
    return {
        "uri": URI + row[f"{kind}_id"],
        "boundaries": [offset + start, offset + end],
        "surfaceform": row["text"][start:end],
        "annotator": "Wikidata_Spotlight_Entity_Linker",
    }


def _triple(subject: dict, property: str, object: dict, sentence: int) -> dict:
    predicate = {
        "uri": f"http://www.wikidata.org/prop/direct/{property}",
        "boundaries": None,
        "surfaceform": None,
        "annotator": "Wikidata_Property_Linker",
    }
    return {
        "subject": subject,
        "predicate": predicate,
        "object": object,
        "sentence_id": sentence,
        "dependency_path": None,
        "confidence": None,
        "annotator": "SPOAligner",
    }
