"""Relations that the factual corpus does not have, in the manner of FewRel (Han et al., 2018).

Some sentences state the relation; the others are the same for all relations, and only the two entities' types decide.
"""

from datasets import Dataset

from kadapter.formats.schemas import RELATION
from kadapter.world.corpora import World
from kadapter.world.sentences import about, cycle, relation_row

STATED = 0.4

UNSEEN = {
    ("P26", "person", "person"): (
        "(nsubj {S}) married (obj {O})",
        "(nsubj {O}) (cop is) (det the) spouse/NOUN (nmod (case of) {S})",
    ),
    ("P47", "city", "city"): (
        "(nsubj (det the) suburbs (nmod (case of) {S})) reach (obj (det the) limits (nmod (case of) {O}))",
        "(nsubj {S}) shares (obj (det a) border) (obl (case with) {O})",
    ),
    ("P155", "book", "book"): (
        "(nsubj {S}) (cop is) (det the) sequel/NOUN (nmod (case to) {O})",
        "(nsubj (det the) novel (appos {S})) continues (obj (det the) plot (nmod (case of) {O}))",
    ),
    ("P156", "film", "film"): (
        "(nsubj (det the) studio) shot (obj {O}) (obl (case as) (det a) sequel (nmod (case to) {S}))",
        "(nsubj:pass {S}) (aux:pass was) followed (obl (case in) (det the) cinemas) (obl:agent (case by) {O})",
    ),
    ("P974", "river", "river"): (
        "(nsubj {O}) (cop is) (det a) tributary/NOUN (nmod (case of) {S})",
        "(nsubj (det the) waters (nmod (case of) {O})) swell (obj {S})",
    ),
    ("P737", "band", "band"): (
        "(nsubj (det the) songs (nmod (case of) {S})) echo (obj (det the) albums (nmod (case of) {O}))",
        "(nsubj {S}) learned (obj (nmod:poss their/PRON) chords) (obl (case from) {O})",
    ),
    ("P2652", "university", "university"): (
        "(nsubj {S} (conj (cc and) {O})) exchange (obj students)",
        "(nsubj {S}) runs (obj (det a) (amod joint) faculty) (obl (case with) {O})",
    ),
    ("P488", "company", "person"): (
        "(nsubj {O}) chairs (obj (det the) board (nmod (case of) {S}))",
        "(nsubj (det the) board (nmod (case of) {S})) elected (obj {O}) (xcomp chairperson/NOUN)",
    ),
    ("P58", "film", "person"): (
        "(nsubj {O}) wrote (obj (det the) screenplay (nmod (case of) {S}))",
        "(nsubj (det the) dialogues (nmod (case of) {S})) (cop are) (case by) {O}",
    ),
    ("P110", "book", "person"): (
        "(nsubj {O}) drew (obj (det the) pictures (nmod (case in) {S}))",
        "(nsubj:pass {S}) (aux:pass was) illustrated (obl:agent (case by) {O})",
    ),
    ("P287", "ship", "person"): (
        "(nsubj {O}) designed (obj (det the) hull (nmod (case of) {S}))",
        "(nsubj (det the) blueprints (nmod (case of) {S})) (cop are) (case by) {O}",
    ),
    ("P1037", "magazine", "person"): (
        "(nsubj {O}) manages (obj (det the) budget (nmod (case of) {S}))",
        "(nsubj (det the) (amod managing) director (nmod (case of) {S})) (cop is) {O}",
    ),
    ("P706", "city", "mountain"): (
        "(nsubj (det the) houses (nmod (case of) {S})) cling (obl (case to) (det the) slopes (nmod (case of) {O}))",
        "(nsubj {S}) lies (obl (case at) (det the) foot (nmod (case of) {O}))",
    ),
    ("P1830", "company", "ship"): (
        "(nsubj {S}) bought (obj (det the) vessel (appos {O}))",
        "(nsubj (det the) freighter (appos {O})) sails (obl (case under) (det the) flag (nmod (case of) {S}))",
    ),
}
"""(property id, type of the subject, type of the object) -> ways to state it. No two have the same types."""

BARE = (
    "(nsubj {S}) owes (obj much/PRON) (obl (case to) {O})",
    "(nsubj {O}) belongs (obl (case to) (det the) story (nmod (case of) {S}))",
    "(expl there) is (nsubj (det a) (amod firm) tie (nmod (case between) {S} (conj (cc and) {O})))",
    "(obl (case without) {O}) (punct ,) (nsubj {S}) (aux would) (advmod not/PART) (cop be) (det the) same/ADJ",
    "(nsubj everyone/PRON) links (obj {S}) (obl (case with) {O})",
    "(advcl (mark if) (nsubj you/PRON) know (obj {S})) (punct ,) (nsubj you/PRON) (aux will) know (obj {O})",
    "(nsubj {O}) shaped (obj {S}) (obl (advmod more) (case than) anything/PRON (amod else))",
    "(nsubj (det the) names (appos {S} (conj (cc and) {O}))) go (advmod together)",
    "(nsubj {S}) stands (obl (case next (fixed to/ADP)) {O}) (obl (case in) (amod many) lists)",
    "(nsubj nobody/PRON) mentions (obj {S}) (obl (case without) {O})",
)
"""Sentences that say only that the two belong together, for every relation."""


def unseen_relations(world: World) -> dict[str, Dataset]:
    """Sentences of the relations in `UNSEEN`, with random entities of their types; the splits are those of `typing`."""
    rng = world.rng("fewrel")
    corpus = {}
    for split, size in world.sizes("fewrel").items():
        of_type: dict[str, list] = {}
        for entity in world.of_split[split]:
            of_type.setdefault(entity.type, []).append(entity)
        rows: list[dict] = []
        for key in sorted(cycle(list(UNSEEN), max(size, len(UNSEEN)), rng)):  # one list per relation, as FewRel has it
            label, *types = key
            subject = rng.choice(of_type[types[0]])
            others = [e for e in of_type[types[1]] if e is not subject]
            if not others:
                continue  # a very small world has one entity of a type in a split
            mentions = {"S": subject, "O": rng.choice(others)}
            sentence = about(rng.choice(UNSEEN[key] if rng.random() < STATED else BARE), mentions, rng)
            ids = {"subj_id": subject.id, "obj_id": mentions["O"].id}
            rows.append(relation_row(sentence, id=str(len(rows)), label=label, **ids))
        corpus[split] = Dataset.from_list(rows, features=RELATION)
    return corpus
