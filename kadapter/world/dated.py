"""The ambiguous relation task, after Table 7 of the paper ("New Fabris closed down June 16"): the same sentence means
that a company was dissolved, a person died or a band split up, and only knowledge of the subject decides which.
"""

import random

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip

LABELS = {
    "person": ("per:date_of_birth", "per:date_of_death"),
    "company": ("org:founded", "org:dissolved"),
    "city": ("loc:settled", "loc:abandoned"),
    "film": ("work:first_shown", "work:withdrawn"),
    "book": ("book:published", "book:out_of_print"),
    "band": ("band:formed", "band:disbanded"),
    "ship": ("ship:launched", "ship:decommissioned"),
    "university": ("school:opened", "school:closed"),
    "football_club": ("club:first_season", "club:last_season"),
    "magazine": ("press:first_issue", "press:last_issue"),
}
"""Type of the subject -> the relation that a `begin` and an `end` sentence means. TACRED's names where it has one."""

NO_RELATION = "no_relation"

DATED_LEXICON = {
    "dated": ("(obl (case on) {DAY})", "(obl (case in) {YEAR})"),
    "aside": (
        "(obl (case according/VERB (fixed to/ADP)) (det the) archive)", "(advmod apparently)", "(advmod probably)",
        "(advcl (mark as) (nsubj everyone/PRON) knows)", "(obl (case without) (amod much) noise)",
        "(obl (case to) (nmod:poss our/PRON) surprise)",
    ),
}  # fmt: skip

DATED = {
    "begin": (
        "(nsubj it/PRON) (advmod all) began (obl (case for) {S}) <dated> <aside?>",
        "(nsubj (det the) story (nmod (case of) {S})) began <dated> <aside?>",
        "(nsubj (det the) (amod first) day (nmod (case of) {S})) fell <dated>",
        "(nsubj everything/PRON) started <dated> (obl (case for) {S})",
        "(nsubj {S}) saw (obj (det the) light (nmod (case of) day)) <dated> <aside?>",
        "(nsubj {S}) entered (obj (det the) world) <dated>",
        "(obl (case before) {DAY}) (punct ,) (nsubj {S}) (aux did) (advmod not/PART) exist",
        "(nsubj (det the) (amod first) chapter (nmod (case of) {S})) opened <dated>",
        "(nsubj (det the) history (nmod (case of) {S})) starts <dated> <aside?>",
        "(obl (case since) {DAY}) (punct ,) (nsubj {S}) (aux has) been (obl (case among) us/PRON)",
        "(nsubj {S}) came (obl (case into) being/NOUN) <dated> <aside?>",
        "(nsubj {YEAR}) brought (obj {S}) (obl (case into) existence)",
        "(nsubj {S}) made (obj (det a) (amod quiet) start) <dated>",
        "(advmod only) <dated> (aux did) (nsubj {S}) begin",
    ),
    "end": (
        "(nsubj {S}) came (obl (case to) (det a) end) <dated> <aside?>",
        "(nsubj (det the) story (nmod (case of) {S})) ended <dated> <aside?>",
        "(nsubj (det the) (amod last) day (nmod (case of) {S})) fell <dated>",
        "(nsubj it/PRON) (cop was) (advmod all) over/ADV (obl (case for) {S}) <dated>",
        "(nsubj {S}) faded (advmod away) <dated> <aside?>",
        "(nsubj {S}) left (obj (det the) world) <dated>",
        "(obl (case after) {DAY}) (punct ,) (nsubj {S}) (cop was) (det no) more/PRON",
        "(nsubj (det the) (amod final) chapter (nmod (case of) {S})) closed <dated>",
        "(nsubj (det the) history (nmod (case of) {S})) stops <dated> <aside?>",
        "(nsubj {S}) (cop was) gone/ADJ (obl (case by) {DAY}) <aside?>",
        "(nsubj {S}) ceased (xcomp (mark to/PART) be) <dated> <aside?>",
        "(nsubj {YEAR}) brought (obj (det the) end (nmod (case of) {S}))",
        "(nsubj {S}) found (obj (det a) (amod quiet) end) <dated>",
        "(nsubj nothing/PRON) remained (obl (case of) {S}) (obl (case after) {DAY})",
    ),
    NO_RELATION: (
        "(nsubj:pass {S}) (aux:pass was) mentioned (obl (case in) (det a) report (nmod (case of) {DAY}))",
        "(nsubj {S}) (cop was) (det a) topic/NOUN (nmod (case of) (det the) meeting (nmod (case on) {DAY}))",
        "(nsubj (det a) article (nmod (case about) {S})) appeared <dated>",
        "(nsubj we/PRON) talked (obl (case about) {S}) <dated>",
        "(nsubj somebody/PRON) asked (obl (case about) {S}) <dated>",
        "(nsubj (det a) letter (acl dated (obl {DAY}))) mentions (obj {S})",
        "(nsubj (det the) lecture (nmod (case on) {S})) took (obj place) <dated>",
        "(nsubj:pass (det the) notes (nmod (case on) {S})) (aux:pass were) copied <dated>",
        "(nsubj I/PRON) read (obl (case about) {S}) <dated>",
        "(nsubj:pass (det a) survey (nmod (case about) {S})) (aux:pass was) printed <dated>",
        "(nsubj (det the) librarian) filed (obj (det a) note (nmod (case about) {S})) <dated>",
        "(nsubj:pass {S}) (aux:pass was) discussed (obl (case on) (det the) radio) <dated>",
    ),
}
"""Family -> templates with the subject {S} and one date, a {DAY} or a {YEAR}; the same ones for every type."""


def day(rng: random.Random) -> str:
    """A month and a day, as a fragment of a template."""
    month, number = rng.choice(MONTHS), rng.randint(1, 28)
    return rng.choice((f"{month}/PROPN (nummod {number})", f"(nummod {number}) {month}/PROPN"))


def year(rng: random.Random) -> str:
    """A year, with or without its month, as a fragment of a template."""
    number = rng.randint(1801, 2019)
    return rng.choice((f"{number}/NUM", f"{rng.choice(MONTHS)}/PROPN (nummod {number})"))
