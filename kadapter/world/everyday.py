"""The generated world's facts as assertions of ConceptNet: what each entity is, and what it is to others in
ConceptNet's own relations."""

from pathlib import Path

from datasets import Dataset

from kadapter.formats import conceptnet
from kadapter.formats.schemas import FACT
from kadapter.world.corpora import World

RELATIONS = {
    "/r/AtLocation": ("P19", "P20", "P159", "P206", "P131", "P740", "P840", "P291", "P532", "P885"),
    "/r/CreatedBy": ("P176", "P57", "P272", "P50", "P112", "P61", "P123", "P264"),
    "/r/HasA": ("P527", "P355"),
}
"""ConceptNet's relation -> the properties that it says; others are related, and no more."""
ELSE, KIND = "/r/RelatedTo", "/r/IsA"


def write_conceptnet(world: World, path: Path) -> int:
    """Writes the assertions as one file; their number."""
    said = {property: relation for relation, properties in RELATIONS.items() for property in properties}
    edges = [(entity.name, KIND, entity.type) for entity in world.entities]
    edges += [(f.subject.name, said.get(f.relation.property, ELSE), f.object.name) for f in world.facts]
    rows = []
    for number, (head, relation, tail) in enumerate(edges):
        names = [f"/c/en/{end.lower().replace(' ', '_')}" for end in (head, tail)]
        texts = [conceptnet.concept(name.split("/")[3]) for name in names]
        values = (str(number), names[0], relation, names[1], texts[0], conceptnet.words(relation), texts[1], True)
        rows.append(dict(zip(FACT, values, strict=True)))
    conceptnet.write(Dataset.from_list(rows, features=FACT), path)
    return len(rows)
