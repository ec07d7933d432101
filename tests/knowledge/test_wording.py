"""Relations of any name become sentences that can be asked from the left; what a person writes is taken or refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kadapter.errors import KAdapterError
from kadapter.knowledge.wording import (
    QUESTION,
    bare_name,
    clause,
    of_question,
    of_sentence,
    read_templates,
    ways,
    ways_of,
)  # fmt: skip

CLAUSES = {
    "born in": "was born in", "founded_by": "was founded by", "locatedIn": "is located in", "IsA": "is a",
    "UsedFor": "is used for", "invented": "invented", "wrote": "wrote", "plays": "plays", "lives in": "lives in",
    "died in": "died in", "capital of": "is the capital of", "part_of": "is the part of", "married to": "is married to",
    "famous for": "is famous for", "has": "has", "studied at": "studied at", "in": "is in", "works for": "works for",
}  # fmt: skip
NOUNS = (
    "capital",
    "place of birth",
    "occupation",
    "official language",
    "/people/person/place_of_birth",
    "species",
    "P19",
)


@pytest.mark.parametrize("name", CLAUSES)
def test_verbs_and_prepositions_make_a_clause(name):
    assert clause(name) == CLAUSES[name]
    assert ways(name).trained[0] == f"[X] {CLAUSES[name]} [Y]."


@pytest.mark.parametrize("name", NOUNS)
def test_other_names_are_nouns(name):
    assert clause(name) is None
    assert ways(name).trained[0].startswith("The ") and ways(name).trained[0].endswith(" of [X] is [Y].")


def test_many_things_are(name="languages"):
    assert "The languages of [X] are [Y]." in ways(name).trained
    assert "What are [X]'s languages? They are [Y]." in ways(name).asked


@given(st.text(min_size=1, max_size=30))
def test_any_name_is_said_in_ways_that_differ(name):
    said = ways_of([name])[name]
    if "[X]" in name or "[Y]" in name:
        return
    assert len(set(said.every)) == len(said.every) == 8
    for template in said.every:
        assert template.count("[X]") == template.count("[Y]") == 1
        assert template.index("[X]") < template.index("[Y]")  # a causal model reads from the left


def test_sentences_and_questions_have_their_own_frames():
    pattern = "The home of [X] is [Y]."
    said = ways_of([pattern, QUESTION])
    assert said[pattern] == of_sentence(pattern) and said[QUESTION] == of_question()
    assert said[pattern].trained[0] == pattern and "It is known that the home of [X] is [Y]." in said[pattern].trained
    with pytest.raises(KAdapterError, match="after it one"):
        of_sentence("[Y] is where [X] lives.")


def test_the_last_part_of_an_iri_is_its_name():
    assert bare_name("<http://example.org/a#bornIn>") == "born In" and bare_name("urn:x:y") == "y"
    assert bare_name("http://example.org/") and bare_name("12:30") == "12:30"


def put(folder, found):
    path = folder / "templates.json"
    path.write_text(json.dumps(found) if not isinstance(found, str) else found)
    return path


def test_own_templates_are_read_and_the_last_is_kept_to_ask_with(tmp_path):
    found = read_templates(put(tmp_path, {
        "born in": ["[X] hails from [Y].", "[X] comes from [Y]."],
        "job": {"trained": ["[X] is a [Y]."], "asked": ["The job of [X]: [Y]."]},
        "pet": ["[X] keeps [Y]."],
    }))  # fmt: skip
    assert found["born in"].trained == ("[X] hails from [Y].",) and found["born in"].asked == ("[X] comes from [Y].",)
    assert found["job"].asked == ("The job of [X]: [Y].",)
    assert found["pet"].trained == ("[X] keeps [Y].",) and found["pet"].asked == ways("pet").asked
    assert ways_of(["job", "capital"], found) == {"job": found["job"], "capital": ways("capital")}


@pytest.mark.parametrize(
    "found, sentence",
    [
        ("[1]", "expected a JSON object, relation -> templates"),
        ("{", "JSON"),
        ({}, "expected a JSON object"),
        ({"a": []}, "expected a list of templates"),
        ({"a": ["[X] only"]}, "expected one [X] for the subject, and after it one [Y]"),
        ({"a": ["[Y] of [X]"]}, "expected one [X] for the subject, and after it one [Y]"),
        ({"a": {"asked": ["[X] [Y]"]}}, "expected a list of templates"),
        ({"a": {"trained": ["[X] [Y]"], "asked": ["[X] [Y]"]}}, "is both trained and asked"),
        ({"a": "[X] [Y]"}, "expected a list of templates"),
    ],
)
def test_own_templates_of_another_form_are_refused_in_one_sentence(found, sentence, tmp_path):
    with pytest.raises(KAdapterError) as error:
        read_templates(put(tmp_path, found))
    assert sentence in str(error.value) and len(str(error.value).splitlines()) == 1
