"""Facts as text in front of examples: which are found, and that every position still names what it named."""

import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from kadapter.data.retrieval import Facts
from kadapter.errors import KAdapterError
from kadapter.formats.schemas import RELATION
from tests import tiny


def known(*facts):
    """Sentences `SUBJECT met OBJECT .` of (subject, label, object)."""
    rows = []
    for number, (subject, label, other) in enumerate(facts):
        begin = len(subject) + len(" met ")
        rows.append(
            dict.fromkeys(("subj_id", "obj_id", "subj_type", "obj_type"), "")
            | {"id": str(number), "text": f"{subject} met {other} .", "label": label, "tokens": []}
            | {"subj_start": 0, "subj_end": len(subject), "obj_start": begin, "obj_end": begin + len(other)}
        )
    return Dataset.from_list(rows, features=RELATION)


FACTS = known(
    ("Arbon", "P127", "Zug"),
    ("Arbon", "per:born_in", "Brill"),
    ("Arbon", "P127", "Zug"),
    ("Brill", "capital of", "Ur"),
    ("Coxon", "P108", "Arbon"),
)


def test_facts_are_found_by_both_names_and_said_once():
    facts = Facts(FACTS)
    assert facts.of("Arbon") == ["Arbon owned by Zug .", "Arbon per born in Brill .", "Coxon employer Arbon ."]
    assert facts.of("Dunes") == [] and facts.of("Ur") == ["Brill capital of Ur ."]
    assert Facts(FACTS, most=1).of("Arbon") == ["Arbon owned by Zug ."]
    # what holds between both stands first, then each in its turn
    both = ["Arbon per born in Brill .", "Brill capital of Ur .", "Arbon owned by Zug .", "Coxon employer Arbon ."]
    assert facts.of("Brill", "Arbon") == [both[0], both[2], both[1], both[3]] or facts.of("Brill", "Arbon") == both


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 6), st.sampled_from(["relation", "typing"]))
def test_positions_move_with_the_text(most, schema):
    examples = tiny.typings(8) if schema == "typing" else tiny.relations(8)
    names = ("Arbon", "Brill", "Person1", "Thing1")
    facts = Facts(known(*((a, "P127", b) for a in names for b in names if a != b)), most)
    read = facts.before(examples)
    assert read.features == examples.features and len(read) == len(examples)
    pairs = [("start", "end")] if schema == "typing" else [("subj_start", "subj_end"), ("obj_start", "obj_end")]
    for before, after in zip(examples, read, strict=True):
        assert after["text"].endswith(before["text"])
        mentions = [before["text"][before[a] : before[b]] for a, b in pairs]
        assert mentions == [after["text"][after[a] : after[b]] for a, b in pairs]
        said = after["text"].removesuffix(before["text"])
        assert said.split(" . ")[:-1] == [fact.removesuffix(" .") for fact in facts.of(*mentions)]
        assert said.count(" . ") <= most


def test_mistakes_are_one_sentence():
    with pytest.raises(KAdapterError, match="facts come from sentences with a subject, an object and their relation"):
        Facts(tiny.typings(3))
    with pytest.raises(KAdapterError, match="in front of relation and typing examples alone"):
        Facts(FACTS).before(tiny.trees(3))
