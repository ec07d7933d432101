"""What the probes ask is what the published files say, by the published rules."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kadapter.errors import KAdapterError
from kadapter.knowledge.facts import fill
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.probing import negated, questions, uhn
from kadapter.training.language import language_model, token_log_probabilities
from tests import speaking


def put(folder: Path, name: str, records: list[dict]) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def fact(subject: str, object: str, number: int = 0) -> dict:
    ids = {"uuid": f"u{number}", "obj_uri": "Q1", "sub_uri": "Q2", "predicate_id": "P19"}
    return ids | {"obj_label": object, "sub_label": subject, "evidences": []}


@pytest.fixture
def folder(tmp_path) -> Path:
    facts = [fact("Ada", "London"), fact("Ada", "London", 1), fact("Ada", "Paris", 2), fact("Apple Watch", "Apple", 3)]
    put(tmp_path, "lama/TREx/P19.jsonl", facts)
    put(tmp_path, "lama/TREx/P999.jsonl", [fact("x", "y")])
    template = {"template": "[X] was born in [Y] .", "label": "place of birth", "description": "", "type": "N-1"}
    put(tmp_path, "lama/relations.jsonl", [{"relation": "P19"} | template])
    return tmp_path


def test_trex_fills_one_template_and_asks_a_pair_once(folder):
    found = questions.trex(folder)
    assert found.table["text"].tolist() == [f"{s} was born in [MASK] ." for s in ("Ada", "Ada", "Apple Watch")]
    assert found.table["objects"].tolist() == [["London", "Paris"], ["London", "Paris"], ["Apple"]]
    assert found.dropped == {questions.REPEATED: 1, questions.NO_TEMPLATE: 1}
    assert found.first(1).table["subject"].tolist() == ["Ada"]


def test_an_empty_relation_is_one_sentence(folder):
    put(folder, "lama/TREx/P20.jsonl", [])
    with pytest.raises(KAdapterError, match=r"P20.jsonl, file: records: found 0; expected at least one record"):
        questions.trex(folder)


def test_google_re_leaves_out_what_raters_reject(tmp_path):
    def record(id: str, said: str) -> dict:
        judgments = [{"rater": "1", "judgment": one} for one in said.split()]
        names = {"sub_label": f"S{id}", "obj_label": "Rome", "sub_w": None, "obj_w": None}
        return {
            "pred": "/people/person/place_of_birth",
            "uuid": id,
            "judgments": judgments,
            "masked_sentences": [],
        } | names

    records = [record("a", "yes no no"), record("b", "yes no"), record("c", "yes yes no"), record("d", "")]
    put(tmp_path, "lama/Google_RE/place_of_birth_test.jsonl", records)
    found = questions.google_re(tmp_path)
    assert found.table["subject"].tolist() == ["Sb", "Sc", "Sd"] and found.dropped == {questions.REJECTED: 1}
    assert found.table["text"][0] == "Sb was born in [MASK] ."


def test_sentences_are_asked_as_they_are(tmp_path):
    long = " ".join(["word"] * 101) + " [MASK]"
    records = [
        {"masked_sentences": [text], "obj_label": "gold", "id": "1", "sub_label": "Squad"}
        for text in ("The [MASK] color was used.", long, "A [MASK] and a [MASK].")
    ]
    put(tmp_path, "lama/Squad/test.jsonl", records)
    found = questions.squad(tmp_path)
    assert found.table["text"].tolist() == ["The [MASK] color was used."] and not found.table["template"].any()
    assert found.dropped == {questions.LONG: 1, questions.NOT_ONE_MASK: 1}


def test_entity_questions_stand_before_the_mask(tmp_path):
    path = tmp_path / "entity_questions" / "dataset" / "test" / "P19.test.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps([{"question": "Where was Ada born?", "answers": ["London", "Rome"]}]))
    (row,) = questions.entity_question(tmp_path).table.to_dict("records")
    assert (row["text"], row["relation"], row["objects"]) == ("Where was Ada born? [MASK]", "P19", ["London", "Rome"])


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(KAdapterError, match=r"has no lama/relations.*KADAPTER_DATA"):
        questions.trex(tmp_path)


def test_the_string_filter_counts_what_it_drops(folder):
    found = uhn.filtered(questions.trex(folder))
    assert found.table["subject"].tolist() == ["Ada", "Ada"] and found.dropped[uhn.STRING] == 1


@pytest.fixture(scope="module")
def speaker(tmp_path_factory):
    made = speaking.make("bert", tmp_path_factory.mktemp("bert"))
    return language_model(Backbone(made)), load_tokenizer(made)


def test_the_filter_of_names_asks_a_masked_model(folder, monkeypatch, speaker):
    said = {("Ada", "city"): {"paris", "rome"}}
    monkeypatch.setattr(uhn, "guesses", lambda model, tokenizer, asked, progress: {pair: said[pair] for pair in asked})
    found = uhn.filtered(questions.trex(folder), *speaker)
    assert found.table["object"].tolist() == ["London"] and found.dropped[uhn.NAME] == 1


def test_a_causal_model_guesses_no_names(folder, tmp_path):
    made = speaking.make("llama", tmp_path / "llama")
    with pytest.raises(KAdapterError, match="found .*, a causal model; expected a masked one, as bert-base-cased"):
        uhn.filtered(questions.trex(folder), language_model(Backbone(made)), load_tokenizer(made))


def test_a_name_is_guessed_by_the_three_most_probable_tokens(speaker):
    model, tokenizer = speaker
    asked = [("Dunes", "city"), ("Coxon", "language")]
    found = uhn.guesses(model, tokenizer, asked)
    for word, kind in asked:
        text = f"{word} is a common name in the following {kind} : [MASK] ."
        best = token_log_probabilities(model, tokenizer, [text])[0].argsort()[::-1][:3]
        assert found[word, kind] == {tokenizer.decode([int(i)]).strip().lower() for i in best}


def test_uhn_has_the_published_counts(real_data):
    """Poerner et al. (2020), relations that the string filter alone decides."""
    kept = uhn.filtered(questions.trex(real_data)).table["relation"].value_counts()
    assert kept["P138"] == 160 and kept["P176"] == 191


def test_templates_are_negated_by_hand():
    expected = {
        "[X] was born in [Y] .": "[X] was not born in [Y] .",
        "[X] died in [Y] .": "[X] did not die in [Y] .",
        "[X] plays [Y] music .": "[X] does not play [Y] music .",
        "The native language of [X] is [Y] .": "The native language of [X] is not [Y] .",
        "[X] used to work in [Y] .": "[X] did not use to work in [Y] .",
        "[X] [Y]": None,
    }
    assert {template: negated.negation(template) for template in expected} == expected


@given(st.text(alphabet=st.characters(exclude_characters="[]"), min_size=1))
def test_a_filled_template_has_one_mask_and_its_subject(subject):
    text = fill("In [Y] lives [X] .", subject)
    assert text == f"In [MASK] lives {subject} ."
