"""Templates that state a relation: the smaller part of the factual corpus. Notation: `kadapter.world.grammar`."""

from kadapter.world.facts import Fact
from kadapter.world.medical_facts import MEDICAL_STATEMENTS

STATEMENTS = {
    ("P19", "person"): (
        "(nsubj:pass {S}) (aux:pass was) born (obl (case in) {O})",
        "(nsubj {O}) (cop is) (det the) birthplace/NOUN (nmod (case of) {S})",
    ),
    ("P20", "person"): (
        "(nsubj {S}) died (obl (case in) {O}) (obl (case after) (det a) (amod short) illness)",
        "(nsubj (nmod:poss {S} (case 's/PART)) funeral) took (obj place) (obl (case in) {O})",
    ),
    ("P69", "person"): (
        "(nsubj {S}) studied (obl (case at) {O})",
        "(nsubj {S}) took (obj (det a) degree) (obl (case from) {O})",
        "(nsubj {O}) counts (obj {S}) (obl (case among) (nmod:poss its/PRON) graduates)",
    ),
    ("P108", "person"): (
        "(nsubj {S}) works (obl (case for) {O})",
        "(nsubj {O}) hired (obj {S}) (obl (case as) (det a) accountant)",
    ),
    ("P54", "person"): (
        "(nsubj {S}) played (obl (case for) {O}) (obl (case as) (det a) goalkeeper)",
        "(nsubj {O}) signed (obj {S}) (obl (case on) (det a) (amod three-year) contract)",
    ),
    ("P159", "company"): (
        "(nsubj {S}) has (obj (nmod:poss its/PRON) (compound head) office) (obl (case in) {O})",
        "(nsubj:pass (det the) firm (appos {S})) (aux:pass is) based (obl (case in) {O})",
    ),
    ("P169", "company"): (
        "(nsubj (det the) shareholders (nmod (case of) {S})) made (obj {O}) (xcomp (amod chief) executive/NOUN)",
        "(nsubj {O}) runs (obj {S}) (obl (case as) (nmod:poss its/PRON) (amod chief) executive)",
    ),
    ("P112", "company"): (
        "(nsubj:pass {S}) (aux:pass was) founded (obl:agent (case by) {O})",
        "(nsubj {O}) started (obj {S}) (obl (case as) (det a) (amod small) business)",
    ),
    ("P355", "company"): (
        "(nsubj {S}) bought (obj {O}) (obl (case as) (det a) subsidiary)",
        "(nsubj {O}) (cop is) (det a) subsidiary/NOUN (nmod (case of) {S})",
    ),
    ("P6", "city"): (
        "(nsubj (det the) voters (nmod (case of) {S})) elected (obj {O}) (xcomp mayor/NOUN)",
        "(nsubj {O}) (cop is) (det the) mayor/NOUN (nmod (case of) {S})",
    ),
    ("P206", "city"): (
        "(nsubj {S}) lies (obl (case on) (det the) banks (nmod (case of) {O}))",
        "(nsubj {O}) flows (obl (case through) (det the) streets (nmod (case of) {S}))",
    ),
    ("P190", "city"): (
        "(nsubj {S}) (cop is) (det the) (compound twin) town/NOUN (nmod (case of) {O})",
        "(nsubj:pass {S}) (aux:pass is) twinned (obl (case with) {O})",
    ),
    ("P57", "film"): (
        "(nsubj:pass {S}) (aux:pass was) directed (obl:agent (case by) {O})",
        "(nsubj {O}) shot (obj (det the) film (appos {S})) (obl (case in) (nummod six) weeks)",
    ),
    ("P272", "film"): (
        "(nsubj:pass {S}) (aux:pass was) produced (obl:agent (case by) (det the) studio (appos {O}))",
        "(nsubj {O}) brought (obj {S}) (obl (case to) (det the) screen)",
    ),
    ("P144", "film"): (
        "(nsubj (det the) screenplay (nmod (case of) {S})) follows (obj (det the) novel (appos {O}))",
        "(nsubj:pass {O}) (aux:pass was) filmed (obl (case as) {S})",
    ),
    ("P403", "river"): (
        "(nsubj {S}) flows (obl (case into) {O})",
        "(nsubj (det the) waters (nmod (case of) {S})) join (obj {O})",
    ),
    ("P885", "river"): (
        "(nsubj {S}) rises (obl (case on) (det the) slopes (nmod (case of) {O}))",
        "(nsubj (det the) springs (nmod (case of) {S})) lie (obl (case below) (det the) summit (nmod (case of) {O}))",
    ),
    ("P138", "river"): (
        "(nsubj:pass (det the) stream (appos {S})) (aux:pass was) named (obl (case after) {O})",
        "(nsubj (det the) mapmakers) gave (iobj {S}) (obj (det the) name (nmod (case of) {O}))",
    ),
    ("P50", "book"): (
        "(nsubj:pass {S}) (aux:pass was) written (obl:agent (case by) {O})",
        "(nsubj {O}) (cop is) (det the) author/NOUN (nmod (case of) (det the) novel (appos {S}))",
    ),
    ("P123", "book"): (
        "(nsubj {O}) printed (obj (nummod five) editions (nmod (case of) (det the) novel (appos {S})))",
        "(nsubj:pass {S}) (aux:pass was) published (obl (case in) hardback) (obl:agent (case by) {O})",
    ),
    ("P840", "book"): (
        "(nsubj (det the) plot (nmod (case of) {S})) unfolds (obl (case in) {O})",
        "(nsubj (det the) characters (nmod (case of) {S})) live (obl (case in) {O})",
    ),
    ("P740", "band"): (
        "(nsubj {S}) played (obj (nmod:poss their/PRON) (amod first) gigs) (obl (case in) {O})",
        "(nsubj (det the) musicians (nmod (case of) {S})) met (obl (case in) {O})",
    ),
    ("P527", "band"): (
        "(nsubj {O}) plays (obj (det the) drums) (obl (case in) {S})",
        "(nsubj (det the) singer (nmod (case of) {S})) (cop is) {O}",
    ),
    ("P264", "band"): (
        "(nsubj {S}) released (obj (nmod:poss their/PRON) albums) (obl (case on) {O})",
        "(nsubj {O}) gave (iobj {S}) (obj (det a) (compound record) deal)",
    ),
    ("P176", "ship"): (
        "(nsubj:pass {S}) (aux:pass was) built (obl (case in) (det the) shipyard (nmod (case of) {O}))",
        "(nsubj {O}) welded (obj (det the) hull (nmod (case of) {S}))",
    ),
    ("P532", "ship"): (
        "(nsubj {S}) sails (obl (case from) (nmod:poss its/PRON) (compound home) port (appos {O}))",
        "(nsubj:pass (det the) vessel (appos {S})) (aux:pass is) registered (obl (case in) {O})",
    ),
    ("P137", "ship"): (
        "(nsubj {O}) sends (obj (det the) vessel (appos {S})) (obl (case on) (compound research) voyages)",
        "(nsubj:pass {S}) (aux:pass is) crewed (obl:agent (case by) {O})",
    ),
    ("P1075", "university"): (
        "(nsubj {O}) (cop is) (det the) rector/NOUN (nmod (case of) {S})",
        "(nsubj (det the) professors (nmod (case of) {S})) chose (obj {O}) (obl (case as) rector)",
    ),
    ("P131", "university"): (
        "(nsubj (det the) campus (nmod (case of) {S})) lies (obl (case in) {O})",
        "(nsubj:pass (det the) lectures (nmod (case of) {S})) (aux:pass are) held (obl (case in) {O})",
    ),
    ("P859", "university"): (
        "(nsubj {O}) pays (obl (case for) (det the) laboratories (nmod (case of) {S}))",
        "(nsubj (det the) students (nmod (case of) {S})) receive (obj grants (nmod (case from) {O}))",
    ),
    ("P286", "football_club"): (
        "(nsubj {O}) trains (obj (det the) players (nmod (case of) {S}))",
        "(nsubj {S}) dismissed (obj (nmod:poss their/PRON) coach (punct ,) (appos {O}))",
    ),
    ("P127", "football_club"): (
        "(nsubj {O}) owns (obj (det the) (compound football) club (appos {S}))",
        "(nsubj:pass (det the) (compound football) club (appos {S})) (aux:pass was) sold (obl (case to) {O})",
    ),
    ("P159", "football_club"): (
        "(nsubj {S}) play (obj (nmod:poss their/PRON) (compound home) matches) (obl (case in) {O})",
        "(nsubj (det the) supporters (nmod (case of) {S})) come (obl (case from) {O})",
    ),
    ("P3137", "mountain"): (
        "(nsubj {S}) (cop is) (det a) (amod lower) summit/NOUN (nmod (case of) {O})",
        "(nsubj (det a) ridge) leads (obl (case from) (det the) peak (nmod (case of) {S})) (obl (case to) {O})",
    ),
    ("P131", "mountain"): (
        "(nsubj (det the) summit (nmod (case of) {S})) belongs (obl (case to) (det the) district (nmod (case of) {O}))",
        "(nsubj {S}) towers (obl (case above) {O})",
    ),
    ("P61", "mountain"): (
        "(nsubj {O}) (cop was) (det the) first/ADJ (acl (mark to/PART) sight (obj (det the) peak (appos {S})))",
        "(nsubj:pass (det the) summit (nmod (case of) {S})) (aux:pass was) discovered (obl:agent (case by) {O})",
    ),
    ("P98", "magazine"): (
        "(nsubj {O}) edits (obj {S})",
        "(nsubj {O}) (cop is) (det the) editor/NOUN (nmod (case of) (det the) magazine (appos {S}))",
    ),
    ("P291", "magazine"): (
        "(nsubj:pass (det every) issue (nmod (case of) {S})) (aux:pass is) printed (obl (case in) {O})",
        "(nsubj (det the) newsroom (nmod (case of) {S})) (cop is) (case in) {O}",
    ),
    ("P123", "magazine"): (
        "(nsubj {O}) sells (obj subscriptions (nmod (case to) {S}))",
        "(nsubj:pass (det the) weekly (appos {S})) (aux:pass is) published (obl:agent (case by) {O})",
    ),
}  # fmt: skip
"""(property id, type of the subject) -> ways to say it."""


def ways(fact: Fact) -> tuple[str, ...]:
    """The templates that state a fact, of the world or of its second domain."""
    key = fact.relation.property, fact.relation.subject
    return STATEMENTS[key] if key in STATEMENTS else MEDICAL_STATEMENTS[key]
