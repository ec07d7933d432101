"""The generated world's facts as LAMA's probes and as triples (early version of the paper: what a model knows of a fact
when it is asked with the object masked)."""

from pathlib import Path

from datasets import Dataset

from kadapter.formats import graph_text, lama, triples
from kadapter.formats.schemas import PROBE, TRIPLE
from kadapter.world.corpora import World
from kadapter.world.facts import RELATIONS
from kadapter.world.grammar import name_fragment, parse
from kadapter.world.sentences import statement
from kadapter.world.statements import STATEMENTS

HELD_OUT = {"valid": 0.1, "test": 0.1}  # shares of the triples; every entity and relation stays in train


def relations() -> dict[str, dict[str, str]]:
    """`relations.jsonl` of the world: a template for each relation, as its first statement says it."""
    table: dict[str, dict[str, str]] = {}
    for relation in RELATIONS:
        fills = {"S": name_fragment("[X]"), "O": name_fragment("[Y]")}
        words = parse(STATEMENTS[relation.property, relation.subject][0], fills).words
        row = {"template": " ".join(words), "label": relation.label, "description": "", "type": "N-M"}
        table.setdefault(relation.property, row)
    return table


def probes(world: World) -> dict[str, Dataset]:
    """Property -> a row for each of its facts, with one sentence that states it."""
    rng = world.rng("probes")
    rows: dict[str, list[dict]] = {}
    for number, fact in enumerate(world.facts):
        sentence = statement(fact, rng)
        start, end = sentence.spans["O"]
        words = [*sentence.words[:start], lama.MASK, *sentence.words[end:]]
        evidence = {"text": " ".join(words), "subject": fact.subject.name, "object": fact.object.name}
        rows.setdefault(fact.relation.property, []).append(
            {
                "id": f"world-{number}", "relation": fact.relation.property, "subject": fact.subject.name,
                "object": fact.object.name, "subj_id": fact.subject.id, "obj_id": fact.object.id,
                "sentences": [evidence],
            }
        )  # fmt: skip
    return {property: Dataset.from_list(found, features=PROBE) for property, found in rows.items()}


def graph(world: World) -> dict[str, Dataset]:
    """The facts as triples; one is held out only while its entities and its relation stay in `train`."""
    rng = world.rng("triples")
    order = list(world.facts)
    rng.shuffle(order)
    uses: dict[str, int] = {}
    names = [(fact.subject.id, fact.relation.property, fact.object.id) for fact in order]
    for triple in names:
        for name in triple:
            uses[name] = uses.get(name, 0) + 1
    found: dict[str, list[tuple[str, str, str]]] = {"train": [], "valid": [], "test": []}
    for triple in names:
        into = next((split for split, share in HELD_OUT.items() if len(found[split]) < share * len(names)), "train")
        if min(uses[name] for name in triple) < 2:
            into = "train"
        if into != "train":
            for name in triple:
                uses[name] -= 1
        found[into].append(triple)
    return {
        split: Dataset.from_list(
            [dict(zip(TRIPLE, (str(i), *triple), strict=True)) for i, triple in enumerate(rows)], features=TRIPLE
        )
        for split, rows in found.items()
    }


def write_probes(world: World, out: Path) -> dict[str, int]:
    """Writes `lama/relations.jsonl`, `lama/TREx/P*.jsonl` and `triples/{train,valid,test}.txt` with the texts of
    their names under `out`; the number of rows of each file."""
    counts = {"lama/relations.jsonl": len(relations())}
    lama.write_relations(relations(), out / "lama" / "relations.jsonl")
    for property, dataset in probes(world).items():
        name = f"lama/TREx/{property}.jsonl"
        lama.write(dataset, out / name)
        counts[name] = len(dataset)
    return counts | write_triples(world, out)


def write_triples(world: World, out: Path, inside: str = "") -> dict[str, int]:
    """Writes `triples/{train,valid,test}.txt` and the texts of their names under `out`; the number of rows of each of
    the former, `inside` put before its name."""
    counts = {}
    for split, dataset in graph(world).items():
        name = f"triples/{split}.txt"
        triples.write(dataset, out / name)
        counts[inside + name] = len(dataset)
    texts = {
        graph_text.ENTITIES: {entity.id: entity.name for entity in world.entities},
        graph_text.RELATIONS: {relation.property: relation.label for relation in world.relations},
    }
    for name, said in texts.items():
        graph_text.write_texts(said, out / "triples" / name)
    return counts
