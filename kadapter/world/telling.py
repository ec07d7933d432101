"""What tells an entity's type, in names and in contexts. The world's bare names and neutral sentences tell nothing; in
real text many names say what they name (Gormul River, Chissax Ltd), and many sentences do."""

import random

from kadapter.world.facts import Entity

NOUNS = {
    "person": ("man", "woman", "engineer", "painter", "doctor"),
    "company": ("company", "firm", "corporation"),
    "city": ("city", "town"),
    "film": ("film", "movie"),
    "river": ("river", "stream"),
    "book": ("book", "novel"),
    "band": ("band", "orchestra"),
    "ship": ("ship", "vessel"),
    "university": ("university", "college"),
    "football_club": ("club", "team"),
    "mountain": ("mountain", "peak"),
    "magazine": ("magazine", "journal"),
    "drug": ("drug", "medicine"),
    "disease": ("disease", "illness"),
    "gene": ("gene",),
    "enzyme": ("enzyme", "protein"),
    "bacterium": ("bacterium", "microbe"),
    "herb": ("herb", "plant"),
}
"""Type -> nouns that stand before a name: `the river Gormul`."""

FULL_NAMES = {
    "person": ("Mr {N}", "Mrs {N}", "Dr {N}", "Professor {N}"),
    "company": ("{N} Ltd", "{N} Company", "{N} Corporation", "{N} Industries"),
    "city": ("{N} City", "{N} Town"),
    "film": ("{N} the Movie", "{N} the Film"),
    "river": ("{N} River", "River {N}", "{N} Stream"),
    "book": ("{N} : A Novel", "The Book of {N}"),
    "band": ("The {N} Band", "{N} Orchestra"),
    "ship": ("SS {N}", "Steamship {N}", "The Ship {N}"),
    "university": ("{N} University", "University of {N}", "{N} College"),
    "football_club": ("{N} FC", "{N} United", "{N} Football Club"),
    "mountain": ("Mount {N}", "{N} Mountain", "{N} Peak"),
    "magazine": ("{N} Magazine", "{N} Weekly", "{N} Journal"),
    "drug": ("{N} Tablets", "{N} Syrup", "{N} Medicine"),
    "disease": ("{N} Disease", "{N} Syndrome", "{N} Fever"),
    "gene": ("{N} Gene", "Gene {N}"),
    "enzyme": ("{N} Enzyme", "{N} Protein"),
    "bacterium": ("{N} Bacteria", "Bacillus {N}"),
    "herb": ("{N} Herb", "{N} Plant", "{N} Root"),
}
"""Type -> full names, {N} being the bare one."""


def full_name(entity: Entity, rng: random.Random) -> str:
    """One of the entity's full names."""
    return rng.choice(FULL_NAMES[entity.type]).replace("{N}", entity.name)


def with_noun(template: str, slot: str, entity: Entity, rng: random.Random) -> str:
    """The template in which a noun for the entity's type stands before its name; the slot still holds the name alone.

    >>> from random import Random
    >>> with_noun("(nsubj we/PRON) saw (obj {S})", "S", Entity("Q1", "Gormul", "gene", "test"), Random(0))
    '(nsubj we/PRON) saw (obj (det the) gene/NOUN (appos {S}))'
    """
    return template.replace(f"{{{slot}}}", f"(det the) {rng.choice(NOUNS[entity.type])}/NOUN (appos {{{slot}}})")
