"""The tables that formats read to and tasks read from; the only thing the two have in common.

Offsets count characters of the row's text, from 0, end exclusive. Where a format gives tokens, text is the tokens
joined by one space, and `tokens` keeps them so that `write` recovers token positions; where it gives text alone,
`tokens` is empty. A string that a format does not have is "".
"""

from datasets import Features, List, Value

_STRING, _INT = Value("string"), Value("int32")

# A sentence, two spans in it and the relation that holds between them (paper, section 3.3 and 4.4).
RELATION = Features(
    id=_STRING, text=_STRING, subj_start=_INT, subj_end=_INT, obj_start=_INT, obj_end=_INT, label=_STRING,
    subj_id=_STRING, obj_id=_STRING, subj_type=_STRING, obj_type=_STRING, tokens=List(_STRING),
)  # fmt: skip

# A mention in its sentence, its types, and the entities that a linker found in the sentence (section 4.2).
TYPING = Features(
    id=_STRING, text=_STRING, start=_INT, end=_INT, labels=List(_STRING),
    ents=List({"id": _STRING, "start": _INT, "end": _INT, "score": Value("float64")}),
)  # fmt: skip

# A sentence and its dependency tree; heads count words from 1, 0 is the root (section 3.4).
DEPENDENCY = Features(id=_STRING, words=List(_STRING), heads=List(_INT), deprels=List(_STRING), upos=List(_STRING))

# A question about a context and its possible answers; label is the index of the right one, -1 where it is not given
# (section 4.3, CosmosQA).
CHOICE = Features(id=_STRING, context=_STRING, question=_STRING, answers=List(_STRING), label=_INT)

# A question, its accepted answers and the paragraphs a retriever found for it (section 4.3, SearchQA and Quasar-T).
OPENQA = Features(id=_STRING, question=_STRING, answers=List(_STRING), paragraphs=List(_STRING))

# A fact and the sentences, with [MASK] for its object, that probe it; subject and object as each sentence has them
# (LAMA, early version of the paper).
PROBE = Features(
    id=_STRING, relation=_STRING, subject=_STRING, object=_STRING, subj_id=_STRING, obj_id=_STRING,
    sentences=List({"text": _STRING, "subject": _STRING, "object": _STRING}),
)  # fmt: skip

# A sentence with [MASK] where its answer stood, and the answers to choose from ([] for the whole vocabulary); or plain
# text, which has no [MASK], no answer and no relation (early version of the paper; Petroni et al., 2019).
CLOZE = Features(id=_STRING, relation=_STRING, text=_STRING, answer=_STRING, candidates=List(_STRING))

# Mentions of entities in a row's text, with the entities' ids: a column that a linked dataset of any schema has, too
# (map-tuning).
LINKS = List({"start": _INT, "end": _INT, "entity": _STRING})

# The same, its entities linked (map-tuning).
LINKED_CLOZE = Features(**CLOZE, links=LINKS)

# A sentence, the mentions in it that are to be predicted, and its linked mentions (general map-tuning).
MENTION = Features(id=_STRING, text=_STRING, masked=List({"start": _INT, "end": _INT}), links=LINKS)

# A query and the labelled examples that it is compared with: `ways` classes of `shots` supports each, class by class;
# `label` is the number of the query's class. The queries of an episode stand one after the other (few-shot
# classification: FewRel, Han et al., 2018).
_MARKED = {"text": _STRING, "subj_start": _INT, "subj_end": _INT, "obj_start": _INT, "obj_end": _INT}
EPISODE = Features(
    id=_STRING, episode=_INT, **_MARKED, links=LINKS, label=_INT, ways=_INT, supports=List({**_MARKED, "links": LINKS}),
)  # fmt: skip

# An edge of a knowledge graph.
TRIPLE = Features(id=_STRING, head=_STRING, relation=_STRING, tail=_STRING)

# An edge of a knowledge graph with the texts of its ends and of its relation, and whether it is a fact or a published
# counterexample (Safavi & Koutra, 2020).
FACT = Features(
    id=_STRING, head=_STRING, relation=_STRING, tail=_STRING, head_text=_STRING, relation_text=_STRING,
    tail_text=_STRING, holds=Value("bool"),
)  # fmt: skip

# A synset of WordNet: its words, its definition and examples, the supersense (lexicographer file) that it belongs to,
# and the synsets above it (Fellbaum, 1998).
SYNSET = Features(
    id=_STRING, pos=_STRING, supersense=_STRING, lemmas=List(_STRING), gloss=_STRING, examples=List(_STRING),
    hypernyms=List(_STRING),
)  # fmt: skip

# A sentence and its linked mentions (ERNIE, Zhang et al., 2019).
LINKED = Features(id=_STRING, text=_STRING, links=LINKS)

# A mention in its sentence, the entity that it is (`label`), and the entities that it may be taken for, that one among
# them (ERNIE; KnowBERT, Peters et al., 2019).
ENTITY = Features(id=_STRING, text=_STRING, start=_INT, end=_INT, label=_STRING, candidates=List(_STRING))

# A text, the first, and others, one of which fits it in the relation `label` ("" where there is but one way to fit):
# `answer` counts the others from 0. What is read of a text is its spans, or all of it where it has none (KEPLER, Wang
# et al., 2021; Matching the Blanks, Baldini Soares et al., 2019).
MATCH = Features(
    id=_STRING, label=_STRING, answer=_INT,
    texts=List({"text": _STRING, "spans": List({"start": _INT, "end": _INT})}),
)  # fmt: skip
