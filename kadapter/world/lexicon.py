"""The generated world's words as a WordNet database (wndb(5WN)): every entity is an instance of its type, its short
name is also another entity's, and its examples are sentences about it. What such a name means knowledge decides."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from kadapter.formats import wordnet
from kadapter.formats.files import replacing
from kadapter.world.corpora import World
from kadapter.world.facts import TYPES
from kadapter.world.sentences import statement
from kadapter.world.short_names import short_names

SENSES = {
    "person": "noun.person", "company": "noun.group", "city": "noun.location", "film": "noun.communication",
    "river": "noun.object", "book": "noun.communication", "band": "noun.group", "ship": "noun.artifact",
    "university": "noun.group", "football_club": "noun.group", "mountain": "noun.object",
    "magazine": "noun.communication",
}  # fmt: skip
"""Type -> supersense."""
ROOT = "thing"
LICENCE = "  Written for a world of fictional entities; in the format of WordNet's database.\n"


def synsets(world: World) -> list[dict]:
    """Rows of the SYNSET schema: the root, the types, the entities. `id` is a name, not yet an offset."""
    rng = world.rng("lexicon")
    rows = [_row(ROOT, "noun.Tops", [ROOT], "whatever there is in this world", [], [])]
    rows += [_row(t, SENSES[t], [t.replace("_", " ")], f"a {ROOT} of its own kind", [], [ROOT]) for t in TYPES]
    facts: dict[str, list] = {}
    for fact in world.facts:
        facts.setdefault(fact.subject.id, []).append(fact)
    names = short_names(world)
    for entity in world.entities:
        short = names[entity.id]
        told = rng.sample(facts[entity.id], min(4, len(facts[entity.id])))
        gloss = f"{told[0].relation.label} {told[0].object.name}"
        examples = []
        for fact in told[1:]:
            text = " ".join(statement(fact, rng).words)
            examples.append(text.replace(entity.name, short, 1))
        rows.append(_row(entity.id, SENSES[entity.type], [entity.name, short], gloss, examples, [entity.type]))
    return rows


def _row(id: str, kind: str, lemmas: list[str], gloss: str, examples: list[str], above: list[str]) -> dict:
    names = ("id", "pos", "supersense", "lemmas", "gloss", "examples", "hypernyms")
    return dict(zip(names, (id, "n", kind, lemmas, gloss, examples, above), strict=True))


def write_wordnet(world: World, folder: Path) -> int:
    """Writes `data.noun`, `index.noun`, `lexnames` and the other files of a database, empty; the number of synsets."""
    rows = synsets(world)
    offsets, at = {row["id"]: 0 for row in rows}, len(LICENCE.encode())
    for row in rows:
        offsets[row["id"]] = at
        at += len(_data(row, offsets).encode())
    lines = {name: "" for name in wordnet.FILES}
    lines["data.noun"] = "".join(_data(row, offsets) for row in rows)
    lines |= {f"index.{name.partition('.')[2]}": "" for name in wordnet.FILES}
    lines["index.noun"] = "".join(_index(rows, offsets))
    for name, text in lines.items():
        with replacing(folder / name) as file:
            file.write(LICENCE + text)
    with replacing(folder / "lexnames") as file:
        file.writelines(f"{i:02d}\t{name}\t1\n" for i, name in enumerate(wordnet.SUPERSENSES))
    return len(rows)


def _data(row: Mapping, offsets: Mapping[str, int]) -> str:
    """`offset lexnumber pos words word 0 ... pointers @ offset pos 0000 | gloss; "example"`; of one length whatever the
    offsets."""
    words = " ".join(f"{lemma.replace(' ', '_')} 0" for lemma in row["lemmas"])
    sign = "@" if row["id"] in TYPES else "@i"  # entities are instances
    above = "".join(f"{sign} {offsets[id]:08d} n 0000 " for id in row["hypernyms"])
    gloss = "; ".join((row["gloss"], *(f'"{example}"' for example in row["examples"])))
    number = wordnet.SUPERSENSES.index(row["supersense"])
    count, pointers = len(row["lemmas"]), len(row["hypernyms"])
    return f"{offsets[row['id']]:08d} {number:02d} n {count:02x} {words} {pointers:03d} {above}| {gloss}  \n"


def _index(rows: Sequence[Mapping], offsets: Mapping[str, int]) -> list[str]:
    senses: dict[str, list[int]] = {}
    for row in rows:
        for lemma in row["lemmas"]:
            senses.setdefault(lemma.replace(" ", "_").lower(), []).append(offsets[row["id"]])
    return [
        f"{word} n {len(found)} 0 {len(found)} 0 {' '.join(f'{offset:08d}' for offset in found)}  \n"
        for word, found in sorted(senses.items())
    ]
