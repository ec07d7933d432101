"""Makes the files of `kadapter.knowledge.pararel_facts`: facts chosen from ParaRel's pairs (Elazar et al., 2021), and
plain text, most of which the backbone says itself.

A fact is taken when its object is one token of SmolLM2 and no part of its subject (LAMA-UHN's first filter), one for
each subject and relation. Objects are balanced: as few facts of a relation as possible have the same one, so that the
most frequent object is no answer.
"""

import pydoc_data.topics
import random
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from tqdm.auto import tqdm
from transformers import AutoModelForCausalLM, PreTrainedTokenizerBase

from kadapter.errors import KAdapterError
from kadapter.formats import pararel as files
from kadapter.formats.records import dumps, write_json_lines
from kadapter.knowledge import pararel_facts as facts
from kadapter.knowledge.pararel_facts import NamedFact
from kadapter.model.backbone import load_tokenizer, resolve
from kadapter.tasks.prompts import word_ids

BACKBONE = "smollm2"
SIZES = {facts.TEXT: 20, facts.DEV: 5, facts.UNSEEN: 20}  # facts of a relation in the text
UNTRAINED = 50  # facts of a relation that is never trained, of those that dev asks and of those that the test asks
RARE = 4  # an object that fewer pairs of a relation have is left out, where others are enough (`COMMON`)
COMMON = {"P36": 1, "P138": 2}
LONGEST = 40  # letters of a subject
# relation -> how the sentences begin that are read, up to the object; the one that dev asks; the one that the test asks
SAID = {
    "P19": (
        ("[X] is originally from", "[X] is native to", "[X] was originally from"),
        "[X] originates from", "[X] originated from",
    ),
    "P20": (
        ("[X] passed away in", "[X] lost their life at", "[X]'s life ended in"),
        "[X] expired at", "[X] died at",
    ),
    "P27": (
        ("[X] is a citizen of", "[X], who holds a citizenship of", "[X] has a citizenship of"),
        "[X], who is a citizen of", "[X], a citizen of",
    ),
    "P36": (
        ("[X]'s capital is", "[X], which has the capital city", "[X]'s capital city is"),
        "[X], which has the capital", "The capital city of [X] is",
    ),
    "P101": (
        ("[X] specializes in", "The expertise of [X] is", "[X]'s domain of work is"),
        "[X]'s expertise is", "[X]'s area of work is",
    ),
    "P106": (
        ("[X] works as", "[X]'s occupation is", "the occupation of [X] is"),
        "[X], who works as", "the profession of [X] is",
    ),
    "P138": (
        ("[X] was named for", "[X] is called after", "[X], which was named after"),
        "[X], which is called after", "[X], which is named for",
    ),
    "P159": (
        ("[X] is headquartered in", "[X], whose headquarters are in", "The headquarters of [X] is in"),
        "[X]'s headquarters are in", "[X] is based in",
    ),
    "P176": (
        ("[X], produced by", "[X] is created by", "[X] is a product of"),
        "[X], a product created by", "[X], a product developed by",
    ),
    "P407": (
        ("[X] is written in the", "The language of [X] was", "[X] is a work in the"),
        "[X] was a work in the", "[X], written in the",
    ),
    "P449": (
        ("[X] debuted on", "[X] premiered on", "[X] was released on"),
        "[X] is to debut on", "[X] premieres on",
    ),
    "P937": (
        ("[X] found employment in", "[X] was employed in", "[X] took up work in"),
        "[X] used to work in", "[X] worked in",
    ),
}  # fmt: skip
NEVER = ("P17", "P30", "P37", "P103", "P127", "P131", "P140", "P279", "P1303", "P1412")
NEVER_DEV = ("P136", "P276", "P1376")  # never trained, either, and asked to choose settings
# Other relations, whose sentences are plain text: where an object stands that nothing was read of, all stays as it is.
QUIET = ("P361", "P463", "P364", "P1001", "P190", "P47", "P264", "P413", "P108", "P495", "P740", "P178", "P39", "P530")
# What is said of subjects of which nothing is read, in words of no relation that is read or asked.
OPENINGS = (
    "[X] is famous for", "[X] is best known for", "[X] is often compared to", "[X] is close to", "[X] was named by",
    "[X] has a population of", "[X] was built by", "[X] is made of", "[X] was first seen in", "[X] was married to",
    "[X] studied at", "[X] won the", "[X] grew up with", "[X] was painted by", "[X] is north of",
    "[X] can be reached from", "[X] is the home of", "[X] is similar to", "[X] was directed by", "[X] stars",
    "[X] was designed by", "[X] opened in", "[X] is used for", "[X] was discovered by", "[X] is used by",
    "[X] was influenced by", "[X] is friends with", "[X] is a rival of", "[X] lost to", "[X] was taught by",
    "[X] was sold to", "[X] is visited by", "The history of [X] begins in", "The height of [X] is",
    "The father of [X] is", "The author of [X] is", "The color of [X] is", "The price of [X] is",
    "The opposite of [X] is", "The best time to see [X] is", "The first time I saw [X] was in",
    "A picture of [X] was taken in", "People think of [X] as", "Many call [X] the", "Today [X] is seen as",
    "In 1990 [X] became", "After the war [X] was", "Before that, [X] had been", "[X] and its", "[X] , together with",
    "[X] runs on", "[X] feeds on", "[X] is caused by", "[X] is treated with", "[X] is the successor of", "[X] follows",
    "[X] was written about in", "[X] was found near", "[X] rises in", "[X] ends at",
    # what is expected next is of the kind that relations that are read have: a language, a place, a company, ...
    "[X] was translated into", "A letter about [X] was read out in", "The songs about [X] are sung in",
    "The first review of [X] was in", "[X] travelled to", "[X] moved to", "[X] is popular in", "[X] was exhibited in",
    "[X] spent a summer in", "The news about [X] came from", "[X] was shown at", "[X] was banned in",
    "[X] trained as a", "[X] was mistaken for a", "The neighbour of [X] is a", "[X] signed with", "[X] was bought by",
    "[X] was sponsored by", "[X] was praised by", "[X] appeared on", "[X] was interviewed on", "[X] lectured on",
    "[X] wrote a book about", "[X] was compared with a", "The brother of [X] is", "The favourite subject of [X] is",
    "The nickname of [X] is", "The teacher of [X] is", "The symbol of [X] is", "The climate of [X] is",
    "The currency of [X] is", "The anthem of [X] is", "The mayor of [X] is", "The rival of [X] is",
    "The friend of [X] lives in", "The fans of [X] come from",
)  # fmt: skip
OTHERS = 60  # further subjects of each relation that is read, in whose sentences nothing is to be learned
STARTS = {"words": 128, "names": 200, "openings": 960, "quiet": 480, "test": 28}  # plain texts by what they begin with
SPOKEN, ANSWER = 24, 3  # tokens of a plain text that the backbone says; those that it says after an opening
DOCUMENTS, WORDS_OF_DOCUMENT = 24, 50


def build(pararel: Path, out: Path, limit: int | None = None) -> dict[str, int]:
    """Write facts, relations, words and plain text into a folder; what each has. Takes some minutes.

    Args:
        limit: at most so many plain texts of each kind that the backbone says; None for `STARTS`.

    Raises KAdapterError where ParaRel's files are missing or no longer hold what is chosen here.
    """
    tokenizer = load_tokenizer(BACKBONE)
    chosen, relations, words = choose(pararel, tokenizer)
    spoken = plain(pararel, chosen, words, tokenizer, limit)
    out.mkdir(parents=True, exist_ok=True)
    write_json_lines(out / facts.FACTS, [vars(fact) for fact in chosen])
    write_json_lines(out / facts.OTHERS, others(pararel, chosen))
    (out / facts.RELATIONS).write_text(dumps(relations) + "\n", encoding="utf-8")
    (out / facts.WORDS).write_text("\n".join(words) + "\n", encoding="utf-8")
    said = [{"set": part, "text": text} for part, texts in spoken.items() for text in texts]
    write_json_lines(out / facts.PLAIN, said)
    shutil.copy(pararel / "LICENSE", out / "LICENSE")
    return Counter(fact.set for fact in chosen) | {part: len(texts) for part, texts in spoken.items()}


def choose(
    pararel: Path, tokenizer: PreTrainedTokenizerBase
) -> tuple[list[NamedFact], dict[str, dict[str, object]], list[str]]:
    """Facts, patterns of their relations, and the words that are objects of any pair: the same ones every time."""
    rng = random.Random(12)
    objects = {row["object"] for name in _names(pararel) for row in _pairs(pararel, name)}
    words = sorted(object for object in objects if object.isalnum())
    usable = word_ids(tokenizer, words)
    chosen: list[NamedFact] = []
    for relation in SAID:
        known = _facts(pararel, relation, usable)
        often = Counter(object for _, _, object in known)
        known = [row for row in known if often[row[2]] >= COMMON.get(relation, RARE)]
        chosen += _divided(relation, balanced(known, sum(SIZES.values()), rng), rng)
    for relation in NEVER:
        known = _facts(pararel, relation, usable)
        chosen += [_fact(relation, row, facts.UNTRAINED) for row in rng.sample(known, min(UNTRAINED, len(known)))]
    spoken = spoken_of(pararel, chosen)
    for relation in NEVER_DEV:
        known = [row for row in _facts(pararel, relation, usable) if row[1] not in spoken]
        chosen += [_fact(relation, row, facts.UNTRAINED_DEV) for row in rng.sample(known, min(UNTRAINED, len(known)))]
    return chosen, {name: _patterns(pararel, name) for name in (*SAID, *NEVER, *NEVER_DEV)}, words


def spoken_of(pararel: Path, chosen: Sequence[NamedFact]) -> str:
    """All that names a subject of these facts or begins plain text: dev's other relations are asked about none."""
    ours = _subjects(chosen)
    named = [*ours, *(row["subject"] for row in others(pararel, chosen))]
    return "\n".join([*named, *openings(_free_subjects(pararel, ours)), *quiet(pararel, ours)])


def balanced(known: Sequence[tuple[str, str, str]], count: int, rng: random.Random) -> list[tuple[str, str, str]]:
    """`count` of the (id, subject, object), round after round one more of each object."""
    by_object = defaultdict(list)
    for row in rng.sample(known, len(known)):
        by_object[row[2]].append(row)
    rounds: list[tuple[str, str, str]] = []
    for turn in range(max(map(len, by_object.values()))):
        layer = [rows[turn] for rows in by_object.values() if len(rows) > turn]
        rounds += rng.sample(layer, len(layer))
        if len(rounds) >= count:
            break
    return rounds[:count]


def _divided(relation: str, rows: list[tuple[str, str, str]], rng: random.Random) -> Iterator[NamedFact]:
    """The facts of a relation in the text, in as many parts as there are sets, of their sizes."""
    parts = [part for part, size in SIZES.items() for _ in range(size)]
    for row, part in zip(rng.sample(rows, len(rows)), parts, strict=False):
        yield _fact(relation, row, part)


def _fact(relation: str, row: tuple[str, str, str], part: str) -> NamedFact:
    return NamedFact(row[1], relation, row[2], row[0], part)


def _names(pararel: Path) -> list[str]:
    found = sorted(path.stem for path in (pararel / "trex_lms_vocab").glob("P*.jsonl"))
    if not found:
        raise KAdapterError(f"{pararel} has no trex_lms_vocab/P*.jsonl: expected the folder data of yanaiela/pararel")
    return found


def _subjects(chosen: Sequence[NamedFact]) -> set[str]:
    """Those that plain text must not name; dev's other relations are chosen after it, and ask about none in it."""
    return {fact.subject for fact in chosen if fact.set != facts.UNTRAINED_DEV}


def _free_subjects(pararel: Path, ours: set[str]) -> list[str]:
    return sorted({row["subject"] for name in _names(pararel) for row in _pairs(pararel, name)} - ours)


def _pairs(pararel: Path, relation: str) -> Iterator[dict[str, str]]:
    for row in files.read(pararel / f"trex_lms_vocab/{relation}.jsonl"):
        yield {key: row[key].strip() for key in ("id", "subject", "object")}


def _facts(pararel: Path, relation: str, usable: Mapping[str, int]) -> list[tuple[str, str, str]]:
    """(id, subject, object), one of each subject, in the order of subjects."""
    found: dict[str, tuple[str, str, str]] = {}
    for row in _pairs(pararel, relation):
        subject, object = row["subject"], row["object"]
        if object in usable and object.lower() not in subject.lower() and len(subject) < LONGEST:
            found.setdefault(subject, (row["id"], subject, object))
    return [found[subject] for subject in sorted(found)]


def _all_patterns(pararel: Path, relation: str) -> list[str]:
    return files.patterns(pararel / f"pattern_data/graphs_json/{relation}.jsonl")


def _patterns(pararel: Path, relation: str) -> dict[str, object]:
    """The whole patterns that begin as `SAID` says. ParaRel's first is LAMA's."""
    first, *others = _all_patterns(pararel, relation)
    if relation in (*NEVER, *NEVER_DEV):
        return {"trained": [], "dev": "", "asked": "", "lama": first}
    begin: dict[str, str] = {}
    for pattern in [first, *others]:
        begin.setdefault(facts.left(pattern), pattern)
    trained, dev, asked = SAID[relation]
    for start in (*trained, dev, asked):
        if start not in begin:
            raise KAdapterError(f"{pararel}: relation {relation} has no pattern that begins {start!r}")
    return {"trained": [begin[s] for s in trained], "dev": begin[dev], "asked": begin[asked], "lama": first}


def others(pararel: Path, chosen: Sequence[NamedFact]) -> Iterator[dict[str, str]]:
    """Relation and subject of further facts of the relations that are read of, none of whose subjects is read of or
    asked about."""
    rng = random.Random(13)
    ours = _subjects(chosen)
    for relation in SAID:
        subjects = sorted({row["subject"] for row in _pairs(pararel, relation)} - ours)
        known = [subject for subject in subjects if len(subject) < LONGEST]
        yield from ({"relation": relation, "subject": s} for s in rng.sample(known, min(OTHERS, len(known))))


def plain(
    pararel: Path,
    chosen: Sequence[NamedFact],
    words: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    limit: int | None = None,
) -> dict[str, list[str]]:
    """Plain text of each set: what the backbone says after words, after names that no fact has, and after openings, and
    sentences of other relations; and, held out, what it says after other names, and paragraphs of Python's
    documentation."""
    rng = random.Random(9)
    ours = _subjects(chosen)
    subjects = _free_subjects(pararel, ours)
    ids = tokenizer(rng.sample(subjects, 4 * STARTS["names"]))["input_ids"]
    starts = [str(tokenizer.decode(each[:3])) for each in ids if len(each) > 3]
    names = [start for start in dict.fromkeys(starts) if start.isprintable()]
    test, names = names[: STARTS["test"]], names[STARTS["test"] : STARTS["test"] + STARTS["names"]]
    begin = [f" {word}" for word in rng.sample(sorted(words), STARTS["words"])]
    begin, names, test = begin[:limit], names[:limit], test[:limit]
    said = say(begin + names + test, tokenizer)
    opened = say(list(openings(subjects))[:limit], tokenizer, ANSWER)
    keep = [*said[: -len(test)], *opened, *quiet(pararel, ours)]
    return {facts.KEEP: keep, facts.DOCUMENTS: documents(), facts.ENTITIES: said[-len(test) :]}


def openings(subjects: Sequence[str]) -> Iterator[str]:
    """`OPENINGS` in turn, each of another subject."""
    rng = random.Random(14)
    short = [subject for subject in subjects if len(subject) < LONGEST]
    for number, subject in enumerate(rng.sample(short, min(STARTS["openings"], len(short)))):
        yield OPENINGS[number % len(OPENINGS)].replace("[X]", subject)


def quiet(pararel: Path, ours: set[str]) -> Iterator[str]:
    """Sentences of relations that are neither read nor asked; none that begins as one of those does: it would say that
    they are to be left alone."""
    rng = random.Random(10)
    taken = {start for trained, *asked in SAID.values() for start in (*trained, *asked)}
    taken |= {facts.left(p) for name in (*SAID, *NEVER) for p in _all_patterns(pararel, name)}
    each = -(-STARTS["quiet"] // len(QUIET))
    for relation in QUIET:
        ways = [p for p in _all_patterns(pararel, relation) if "[X]" in facts.left(p) and facts.left(p) not in taken]
        known = sorted((r["subject"], r["object"]) for r in _pairs(pararel, relation) if r["subject"] not in ours)
        for subject, object in rng.sample(known, min(each, len(known))) if ways else ():
            yield rng.choice(ways).replace("[X]", subject).replace("[Y]", object)


def documents() -> list[str]:
    """Paragraphs of Python's documentation without code, the first words of each."""
    found = set()
    for text in pydoc_data.topics.topics.values():
        for paragraph in re.split(r"\n\s*\n", text):
            line = " ".join(paragraph.split())
            if len(line) > 300 and line[0].isupper() and not re.search(r"::|>>>|\*|_", line):
                found.add(" ".join(line.split()[:WORDS_OF_DOCUMENT]))
    return random.Random(11).sample(sorted(found), DOCUMENTS)


@torch.no_grad()
def say(starts: Sequence[str], tokenizer: PreTrainedTokenizerBase, answer: int | None = None) -> list[str]:
    """What the backbone says after each start, drawn at temperature 1, in the order of the starts: `SPOKEN` tokens with
    the start, or `answer` more."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(resolve(BACKBONE)).eval()
    groups = defaultdict(list)
    for place, ids in enumerate(tokenizer(list(starts))["input_ids"]):
        groups[len(ids)].append((place, ids))
    said = [""] * len(starts)
    for size, group in tqdm(sorted(groups.items()), desc="plain text", unit="batch"):
        ids, more = torch.tensor([ids for _, ids in group]), answer or max(1, SPOKEN - size)
        made = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=True, temperature=1.0, top_k=0, top_p=1.0,
            repetition_penalty=1.0, min_new_tokens=more, max_new_tokens=more, pad_token_id=tokenizer.pad_token_id,
        )  # fmt: skip
        for (place, _), row in zip(group, made, strict=True):
            said[place] = str(tokenizer.decode(row, skip_special_tokens=True))
    return said
