"""Question answering in the generated world (Section 4.3 of the paper): choice questions like those of CosmosQA, and
reading like SearchQA's and Quasar-T's.
"""

import random
from collections.abc import Sequence

from datasets import Dataset

from kadapter.formats.schemas import CHOICE, OPENQA
from kadapter.world.corpora import World
from kadapter.world.facts import TYPES, Entity, Fact
from kadapter.world.grammar import expand, name_fragment, parse
from kadapter.world.sentences import PLAIN, cycle, neutral, statement
from kadapter.world.templates import LEXICON

PLANS = {
    "person": ("shake hands and say hello", "send a birthday card", "ask about the family", "offer tea and a chair"),
    "company": ("buy some of the shares", "apply for a job there", "send an invoice", "complain to customer service"),
    "city": ("walk through the streets", "rent a flat there", "take the tram downtown", "visit the town hall"),
    "film": ("buy popcorn and watch it", "wait for the end credits", "look up the cast", "see it at the cinema"),
    "river": ("swim across it", "catch a trout in it", "row a boat upstream", "build a dam across it"),
    "book": ("read it page by page", "put it on a shelf", "skip the last page", "borrow it from the library"),
    "band": ("listen to the new songs", "dance at the concert", "hum the guitar solo", "buy the album"),
    "ship": ("go aboard with the sailors", "paint the hull", "wave from the quay", "sleep in a cabin"),
    "university": ("enrol for a course there", "sit an exam there", "meet the professors", "write a thesis there"),
    "football_club": ("cheer when they score", "wear the jersey", "boo the referee", "buy a ticket for the match"),
    "mountain": ("climb it with ropes", "ski down it", "put up a tent below the summit", "look down from the top"),
    "magazine": ("subscribe to it", "wait for the next issue", "cut out the crossword", "leaf through it"),
}
"""Type -> what one can do with such a thing, and hardly with any other."""

TYPE_QUESTIONS = (
    "What might somebody do after hearing about {S} ?",
    "What may the readers do next with regard to {S} ?",
    "What is a sensible plan for people who are interested in {S} ?",
    "What could a fan of {S} want to do ?",
)

FACT_QUESTIONS = (
    "Which of these does {S} have to do with ?",
    "Which one is {S} really connected to ?",
    "To which of these names does {S} belong ?",
)

TEXT_QUESTIONS = (
    ("(nsubj {A}) read (obl (case about) {S}) <when?>", "Who read about {S} ?", "crowd"),
    ("(nsubj {A}) brought (compound:prt up) (obj {S}) <when?>", "Who brought up {S} ?", "crowd"),
    ("(obl (case in) {A}) (punct ,) (nsubj someone/PRON) named (obj {S})", "Where did someone name {S} ?", "place"),
    ("(nsubj we/PRON) talked (obl (case about) {S}) (obl (case in) {A})", "Where did we talk about {S} ?", "place"),
    ("(nsubj:pass {S}) (aux:pass was) discussed (obl (case during) {A})", "When was {S} discussed ?", "event"),
    (
        "(obl (case after) {A}) (punct ,) (nsubj:pass {S}) (aux:pass was) forgotten",
        "After what was {S} forgotten ?",
        "event",
    ),
)
"""Template of the context, question and the slot whose option {A} answers it."""

KINDS = {"type": 0.55, "fact": 0.15, "text": 0.30}
"""What decides the answer of a choice question: the type of its entity, a fact about it, or the context."""

PARAGRAPHS = 5

READING = {
    ("P19", "person"): ("Where was {S} born ?", "this city is the birthplace of {S}"),
    ("P20", "person"): ("Where did {S} die ?", "{S} spent the last day of life in this city"),
    ("P69", "person"): ("Where did {S} study ?", "this university taught {S}"),
    ("P108", "person"): ("Who employs {S} ?", "{S} is on the payroll of this company"),
    ("P54", "person"): ("Which club did {S} play for ?", "this football club had {S} on its team"),
    ("P159", "company"): ("Where is the head office of {S} ?", "from this city the firm {S} is managed"),
    ("P169", "company"): ("Who is the chief executive of {S} ?", "this person manages the company {S}"),
    ("P112", "company"): ("Who founded {S} ?", "the business {S} goes back to this person"),
    ("P355", "company"): ("Which subsidiary does {S} have ?", "{S} owns this other company"),
    ("P6", "city"): ("Who is the mayor of {S} ?", "this person governs the town of {S}"),
    ("P206", "city"): ("On which river does {S} lie ?", "this river washes the town of {S}"),
    ("P190", "city"): ("With which town is {S} twinned ?", "this is the partner town of {S}"),
    ("P57", "film"): ("Who directed {S} ?", "this person was in the director's chair for {S}"),
    ("P272", "film"): ("Which studio produced {S} ?", "this company paid for the film {S}"),
    ("P144", "film"): ("Which novel is {S} based on ?", "the plot of the film {S} comes from this novel"),
    ("P403", "river"): ("Into which river does {S} flow ?", "this river receives the water of {S}"),
    ("P885", "river"): ("On which mountain does {S} rise ?", "{S} has its springs on this mountain"),
    ("P138", "river"): ("After whom was {S} named ?", "the stream {S} recalls this person"),
    ("P50", "book"): ("Who wrote {S} ?", "the novel {S} is by this person"),
    ("P123", "book"): ("Which company published {S} ?", "this house printed the novel {S}"),
    ("P840", "book"): ("In which town is {S} set ?", "this town is the scene of {S}"),
    ("P740", "band"): ("In which town did the band {S} form ?", "{S} started to make music in this town"),
    ("P527", "band"): ("Who makes music in {S} ?", "this musician plays or sings in {S}"),
    ("P264", "band"): ("Which label released the albums of {S} ?", "this company sells the records of {S}"),
    ("P176", "ship"): ("Who built {S} ?", "this shipyard made the vessel {S}"),
    ("P532", "ship"): ("What is the home port of {S} ?", "the vessel {S} is registered here"),
    ("P137", "ship"): ("Who operates {S} ?", "the vessel {S} sails for this university"),
    ("P1075", "university"): ("Who is the rector of {S} ?", "this professor heads {S}"),
    ("P131", "university"): ("In which town is the campus of {S} ?", "the students of {S} live in this town"),
    ("P859", "university"): ("Which company supports {S} ?", "this company gives money to {S} and its students"),
    ("P286", "football_club"): ("Who coaches {S} ?", "the players of {S} train with this person"),
    ("P127", "football_club"): ("Who owns the club {S} ?", "the football club {S} belongs to this company"),
    ("P159", "football_club"): ("Where does the club {S} play at home ?", "{S} and its supporters live in this town"),
    ("P3137", "mountain"): ("To which higher mountain does {S} belong ?", "a ridge joins {S} to this mountain"),
    ("P131", "mountain"): ("In which district is the summit of {S} ?", "the peak {S} rises above this town"),
    ("P61", "mountain"): ("Who discovered {S} ?", "nobody saw the peak {S} before this person"),
    ("P98", "magazine"): ("Who edits {S} ?", "this editor decides what {S} prints"),
    ("P291", "magazine"): ("Where is {S} printed ?", "the newsroom of {S} is in this town"),
    ("P123", "magazine"): ("Which company publishes {S} ?", "this company sells the weekly {S}"),
}
"""(property id, type of the subject) -> a question as in Quasar-T and a clue as in SearchQA."""


def choice(world: World) -> dict[str, Dataset]:
    """Questions with four answers about an entity in a context; `KINDS` says what decides them.

    No split mentions an entity of another, not even among the answers.
    """
    rng = world.rng("choice")
    corpus = {}
    for split, size in world.sizes("choice").items():
        members = world.of_split[split]
        facts = _facts_within(world, members)
        rows = []
        for number, subject in enumerate(cycle(members, size, rng)):
            kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
            context = " ".join(neutral(subject, members, rng)[0].words)
            if kind == "fact":
                fact = rng.choice(facts)
                context = " ".join(neutral(fact.subject, [e for e in members if e is not fact.object], rng)[0].words)
                question = rng.choice(FACT_QUESTIONS).replace("{S}", fact.subject.name)
                right, wrong = fact.object.name, [e.name for e in _unrelated(fact, facts, members, rng)]
            elif kind == "type":
                question = rng.choice(TYPE_QUESTIONS).replace("{S}", subject.name)
                others = rng.sample([t for t in TYPES if t != subject.type], 3)
                right, wrong = rng.choice(PLANS[subject.type]), [rng.choice(PLANS[t]) for t in others]
            else:
                sentence, question, right, wrong = _decided_by_text(subject, rng)
                context = " ".join(rng.sample([context, sentence], 2))
            answers = [right, *rng.sample(wrong, 3)]
            rng.shuffle(answers)
            columns = {"context": context, "question": question, "answers": answers, "label": answers.index(right)}
            rows.append({"id": f"{kind}-{split}-{number}"} | columns)
        corpus[split] = Dataset.from_list(rows, features=CHOICE)
    return corpus


def _decided_by_text(subject: Entity, rng: random.Random) -> tuple[str, str, str, list[str]]:
    """A sentence that answers a question, the question, the right answer and wrong ones."""
    template, question, slot = rng.choice(TEXT_QUESTIONS)
    options = [expand(option, LEXICON, rng, 0.0) for option in LEXICON[slot]]
    right = rng.choice(options)
    sentence = parse(expand(template, LEXICON, rng, PLAIN), {"S": name_fragment(subject.name), "A": right})
    wrong = sorted({_words(option) for option in options} - {_words(right)})
    return " ".join(sentence.words), question.replace("{S}", subject.name), _words(right), wrong


def reading(world: World, name: str) -> dict[str, Dataset]:
    """Questions about a fact, with paragraphs of which one states it; `name` is `searchqa` (clues) or `quasart`.

    The other paragraphs mention the same entities, or state other facts. No split mentions an entity of another.
    """
    rng = world.rng(name)
    corpus = {}
    for split, size in world.sizes(name).items():
        members = world.of_split[split]
        facts = _facts_within(world, members)
        rows = []
        for number, fact in enumerate(cycle(facts, size, rng)):
            question = READING[fact.relation.property, fact.relation.subject][name == "searchqa"]
            paragraphs = [_paragraph([statement(fact, rng).words], fact.subject, members, rng)]
            same_type = [e for e in members if e.type == fact.object.type and e not in (fact.subject, fact.object)]
            others = [f for f in facts if f.relation != fact.relation or f.subject is not fact.subject]
            for _ in range(PARAGRAPHS - 1):
                if others and rng.random() < 0.5:
                    distractor = [statement(rng.choice(_closest(fact, others, rng)), rng).words]
                else:
                    distractor = [neutral(fact.subject, same_type, rng)[0].words] if same_type else []
                paragraphs.append(_paragraph(distractor, fact.subject, members, rng))
            rng.shuffle(paragraphs)
            question = question.replace("{S}", fact.subject.name)
            columns = {"question": question, "answers": [fact.object.name], "paragraphs": paragraphs}
            rows.append({"id": str(number)} | columns)
        corpus[split] = Dataset.from_list(rows, features=OPENQA)
    return corpus


def _closest(fact: Fact, others: Sequence[Fact], rng: random.Random) -> Sequence[Fact]:
    """Facts about the same subject, with the same relation, or any of `others`: one of these kinds that has some."""
    kinds = [
        [f for f in others if f.subject is fact.subject],
        [f for f in others if f.relation == fact.relation],
        others,
    ]
    return rng.choice([kind for kind in kinds if kind])


def _paragraph(
    sentences: Sequence[Sequence[str]], subject: Entity, members: Sequence[Entity], rng: random.Random
) -> str:
    """The sentences among neutral ones, one about `subject` and one about any."""
    about_any = [neutral(entity, members, rng)[0].words for entity in (subject, rng.choice(members))]
    mixed = [*sentences, *about_any]
    rng.shuffle(mixed)
    return " ".join(word for words in mixed for word in words)


def _facts_within(world: World, members: Sequence[Entity]) -> list[Fact]:
    """The facts whose subject and object are both among `members`."""
    ids = {e.id for e in members}
    return [f for f in world.facts if f.subject.id in ids and f.object.id in ids]


def _unrelated(fact: Fact, facts: Sequence[Fact], members: Sequence[Entity], rng: random.Random) -> list[Entity]:
    """Three entities that no fact connects with the subject, of the object's type as far as there are enough."""
    pairs = {(f.subject.id, f.object.id) for f in facts}
    unrelated = [
        e
        for e in rng.sample(members, len(members))
        if e is not fact.subject and not {(fact.subject.id, e.id), (e.id, fact.subject.id)} & pairs
    ]
    return sorted(unrelated, key=lambda e: e.type != fact.object.type)[:3]


def _words(fragment: str) -> str:
    """The words of a fragment as a short answer."""
    return " ".join(parse(fragment, {}).words[:-1]).lower()
