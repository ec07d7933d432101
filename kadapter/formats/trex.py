"""Raw T-REx (Elsahar et al., 2018), of which the factual pre-training set is made (section 3.3 of the paper): Wikipedia
abstracts with the Wikidata triples that a sentence may state.

A file is a JSON list of documents `{"docid", "title", "uri", "text", "sentences_boundaries": [[start, end], ...],
"words_boundaries": [[start, end], ...], "entities": [...], "triples": [{"subject": {"uri", "boundaries": [start, end]},
"predicate": {"uri": ".../P19"}, "object": {...}, "sentence_id": 0, ...}]}`; boundaries count characters of `text`, end
exclusive, and are null where a linker found no place.

`examples` gives the triples as records of T-REx-rc (`kadapter.formats.trex_rc`). A sentence's tokens are the words that
lie inside it; a span is the words that its boundaries begin and end with, so what does not align is left out, with one
of the reasons below. Subject and object may overlap.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from kadapter.errors import FormatError
from kadapter.formats.records import Record, json_list

BROKEN_DOCUMENT = "broken document"  # a field missing or of the wrong type; counts as one triple
BROKEN_TRIPLE = "broken triple"
NO_BOUNDARIES = "no boundaries"
NO_SENTENCE = "no such sentence"
OUTSIDE = "outside the sentence"
MISALIGNED = "boundaries miss the words"
DUPLICATE = "duplicate"  # the same spans and relation in a sentence again, as another annotator found them


def examples(path: Path, counts: Counter[str]) -> Iterator[tuple[str, object]]:
    """("", record of T-REx-rc) for every triple that aligns, (reason, FormatError or None) for the others.

    Adds up `documents` and `triples` in `counts`. Raises FormatError for a file that is no JSON list of objects.
    """
    for document in json_list(path):
        counts["documents"] += 1
        try:
            found = _Document(document)
        except FormatError as error:
            counts["triples"] += 1
            yield BROKEN_DOCUMENT, error
            continue
        counts["triples"] += len(found.triples)
        yield from found.examples()


class _Sentence(NamedTuple):
    first: int
    last: int
    tokens: list[str]
    starts: dict[int, int]  # character -> the word that begins there
    ends: dict[int, int]


class _Document:
    def __init__(self, record: Record) -> None:
        self.record = record
        self.id = name_of(record.text("docid"))
        self.text = record.text("text")
        self.bounds = self._pairs("sentences_boundaries")
        self.words = sorted(pair for pair in self._pairs("words_boundaries") if pair[0] < pair[1])
        self.triples = record.items("triples", "a list of triples")
        self.sentences: dict[int, _Sentence] = {}

    def _pairs(self, key: str) -> list[tuple[int, int]]:
        length, pairs = len(self.text), []
        for pair in self.record.items(key, "a list of [start, end]"):
            if type(pair) is not list or [*map(type, pair)] != [int, int] or not 0 <= pair[0] <= pair[1] <= length:
                raise self.record.error(key, pair, f"[start, end] with 0 <= start <= end <= {length}")
            pairs.append((pair[0], pair[1]))
        return pairs

    def sentence(self, number: int) -> _Sentence:
        if number not in self.sentences:
            first, last = self.bounds[number]
            at = bisect_left(self.words, (first, first))
            inside = []
            while at < len(self.words) and self.words[at][0] < last:
                if self.words[at][1] <= last:
                    inside.append(self.words[at])
                at += 1
            tokens = [self.text[start:end] for start, end in inside]
            starts = {start: i for i, (start, _) in enumerate(inside)}
            self.sentences[number] = _Sentence(first, last, tokens, starts, {e: i for i, (_, e) in enumerate(inside)})
        return self.sentences[number]

    def examples(self) -> Iterator[tuple[str, object]]:
        seen = set()
        for number, value in enumerate(self.triples):
            try:
                relation, subject, subject_at, object, object_at = self._triple(number, value)
            except FormatError as error:
                yield BROKEN_TRIPLE, error
                continue
            if subject_at is None or object_at is None:
                yield NO_BOUNDARIES, None
                continue
            which = value.get("sentence_id")
            if type(which) is not int or not 0 <= which < len(self.bounds):
                yield NO_SENTENCE, None
                continue
            sentence = self.sentence(which)
            spans = [*subject_at, *object_at]
            if min(spans) < sentence.first or max(spans) > sentence.last:
                yield OUTSIDE, None
                continue
            i, k = (sentence.starts.get(start, -1) for start in spans[::2])
            j, m = (sentence.ends.get(end, -1) for end in spans[1::2])
            if not (0 <= i <= j and 0 <= k <= m):
                yield MISALIGNED, None
                continue
            key = (which, i, j, k, m, relation)
            if key in seen:
                yield DUPLICATE, None
                continue
            seen.add(key)
            yield "", {
                "docid": self.id, "token": sentence.tokens, "relation": relation,
                "subj_start": i, "subj_end": j, "obj_start": k, "obj_end": m,
                "subj_label": subject, "obj_label": object,
            }  # fmt: skip

    def _triple(self, number: int, value: object):
        """Relation, and id and boundaries of subject and object."""
        whole = self.record
        triple = Record(whole.file, whole.unit, whole.number, value, f"triples[{number}].")
        found: list = [name_of(triple.child("predicate").text("uri"))]
        for role in ("subject", "object"):
            entity = triple.child(role)
            boundaries = entity.data.get("boundaries")
            found += [name_of(entity.text("uri")), None if boundaries is None else entity.integers("boundaries", 2)]
        if not found[0]:
            raise triple.child("predicate").wrong("uri", "a property's address, as .../prop/direct/P19")
        return found


def name_of(uri: str) -> str:
    """What a URI names: the last part of its path, or the value of a literal.

    >>> name_of("http://www.wikidata.org/prop/direct/P19"), name_of('"1987-06-16"^^http://www.w3.org/2001/XMLSchema#date')
    ('P19', '1987-06-16')
    """
    return uri.split("^^", 1)[0].strip('"').rsplit("/", 1)[-1]
