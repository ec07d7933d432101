"""The embedded corpus: a seeded universe of fictional entities, written in published formats.

Names that no language model has seen make knowledge measurable: what a model knows of these entities it learned from
its adapter. Stands in for T-REx, the parsed book corpus and the downstream sets (Sections 3 and 4 of the paper) where a
machine has none of them.
"""

import json
from pathlib import Path
from typing import Any

from kadapter.formats import conllu, cosmosqa, entity_typing, fewrel, openqa, tacred, trex_rc
from kadapter.world.corpora import World
from kadapter.world.documents import write_documents
from kadapter.world.everyday import write_conceptnet
from kadapter.world.facts import PROPERTIES
from kadapter.world.lexicon import write_wordnet
from kadapter.world.map_tuning import write_map_tuning
from kadapter.world.medicine import Medicine
from kadapter.world.probes import write_probes
from kadapter.world.questions import choice, reading
from kadapter.world.short_names import linking
from kadapter.world.unseen import unseen_relations

__all__ = ["Medicine", "World", "build"]


def build(out: Path, seed: int = 0, entities: int = 1000, **knobs) -> dict[str, int]:
    """Write a world's corpora under the folder `out`; the number of examples of each file that holds some.

    - `trex/{train,dev}.json` and `trex/relations.json`: factual knowledge; `trex_raw/*.json`: the raw documents of it
    - `trex_a/{train,dev,test}.json`, `trex_b/...`: that of each group alone, where there are `groups`
    - `linking/{train,dev,test}.json`: sentences that call entities by names that two of them share
    - `conllu/{train,dev,test}.conllu`: linguistic knowledge
    - `entity_typing/{train,dev,test}.json`, and `figer/...` with two labels per mention: OpenEntity, FIGER
    - `tacred/{train,dev,test}.json`: the ambiguous relation task; `fewrel/...`: relations the factual corpus has not
    - `cosmosqa/{train,valid,test}.jsonl`: questions with four answers, labelled in the test set, too
    - `searchqa/`, `quasart/`: `{train,dev,test}.txt` and `.json`: questions and paragraphs
    - `lama/relations.jsonl`, `lama/TREx/P*.jsonl`: every fact as a probe; `triples/{train,valid,test}.txt`
      and the texts of their names; `wordnet/data.noun` and so on: its words as a WordNet database;
      `conceptnet/assertions.csv`: what is said of its entities in ConceptNet's relations
    - `map_tuning/linked/{train,dev}.jsonl`: linked text, part of the names full; `map_tuning/spoken/...`: text in which
      things are called what they are, for a language layer; `map_tuning/typing/*.json`,
      `map_tuning/relation/*.jsonl`: telling and bare contexts in train and dev, bare ones in test, and the test text
      with the type said (`oracle`)
    - `medicine/{linked,typing,relation,triples}/`: the same of a second domain, a fictional medicine
    - `world.json`, for inspection

    `knobs` are `World`'s. The same arguments give the same bytes.
    """
    world = World(seed, entities, **knobs)
    corpora: list[tuple[str, str, Any, dict]] = [
        ("trex", "json", trex_rc, world.knowledge()),
        ("linking", "json", trex_rc, linking(world)),
        ("conllu", "conllu", conllu, world.treebank()),
        ("entity_typing", "json", entity_typing, world.typing()),
        ("figer", "json", entity_typing, world.fine_typing()),
        ("tacred", "json", tacred, world.ambiguous()),
        ("fewrel", "json", fewrel, unseen_relations(world)),
        ("cosmosqa", "jsonl", cosmosqa, choice(world)),
        ("searchqa", "txt", openqa, reading(world, "searchqa")),
        ("quasart", "txt", openqa, reading(world, "quasart")),
    ]
    of_groups = world.knowledge_of_groups() if world.groups > 1 else {}
    corpora += [(f"trex_{group}", "json", trex_rc, splits) for group, splits in of_groups.items()]
    out = Path(out)
    counts = {}
    for folder, suffix, format, splits in corpora:
        for split, dataset in splits.items():
            name = f"{folder}/{split}.{suffix}"
            format.write(dataset, out / name)
            counts[name] = len(dataset)
    counts["trex_raw"] = write_documents(world, out / "trex_raw")
    counts |= write_probes(world, out) | write_map_tuning(world, out)
    counts["conceptnet/assertions.csv"] = write_conceptnet(world, out / "conceptnet" / "assertions.csv")
    counts["wordnet/data.noun"] = write_wordnet(world, out / "wordnet")
    for name, content in (("trex/relations.json", PROPERTIES), ("world.json", world.describe())):
        (out / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return counts
