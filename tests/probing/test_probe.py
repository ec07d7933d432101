"""Ranks and scores of a probe, against plain transformers and by hand."""

import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM
from typer.testing import CliRunner

from kadapter.cli.main import app
from kadapter.errors import KAdapterError
from kadapter.knowledge.facts import fill
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.probing import consistency, negated, probe
from kadapter.probing.questions import COLUMNS, Questions
from kadapter.probing.words import WordList, word_list
from kadapter.training.language import language_model
from tests import speaking

LIKES, SEES = "[X] hates the old [Y] .", "They saw [X] near a [Y] ."
FACTS = [
    ("likes", "Person", "river", LIKES),
    ("likes", "Dunes", "dog", LIKES),
    ("likes", "Dunes", "river", LIKES),
    ("sees", "Coxon", "dog", SEES),
    ("sees", "Thing", "barked loudly", SEES),  # two words: in no list
]
WORDS = ["river", "dog", "names", "near", "there", "notaword"]


@pytest.fixture(scope="module", params=["bert", "llama"])
def speaker(request, tmp_path_factory):
    """(plain model, our model, tokenizer, folder)."""
    folder = speaking.make(request.param, tmp_path_factory.mktemp(request.param))
    loader = AutoModelForMaskedLM if request.param == "bert" else AutoModelForCausalLM
    return loader.from_pretrained(folder).eval(), language_model(Backbone(folder)), load_tokenizer(folder), folder


def asked() -> Questions:
    objects: dict[tuple[str, str], list[str]] = {}
    for relation, subject, object, _ in FACTS:
        objects.setdefault((relation, subject), []).append(object)
    rows = [(r, s, o, objects[r, s], fill(t, s), t) for r, s, o, t in FACTS]
    return Questions(pd.DataFrame(rows, columns=COLUMNS[:6]))


@torch.no_grad()
def plain_scores(model, tokenizer, text: str) -> torch.Tensor:
    """Scores of the vocabulary at [MASK], by transformers alone."""
    if tokenizer.mask_token:
        ids = tokenizer(text.replace("[MASK]", tokenizer.mask_token), return_tensors="pt")["input_ids"]
        return model(input_ids=ids).logits[0, ids[0].tolist().index(tokenizer.mask_token_id)]
    ids = tokenizer(text.split("[MASK]")[0].rstrip(), return_tensors="pt")["input_ids"]
    return model(input_ids=ids).logits[0, -1]


@pytest.fixture
def words(speaker, tmp_path) -> WordList:
    path = tmp_path / "words.txt"
    path.write_text("\n".join([*WORDS, "river", ""]))
    return word_list(speaker[2], str(path), None)


def test_ranks_are_those_of_plain_transformers(speaker, words):
    plain, model, tokenizer, _ = speaker
    found = probe.ask(model, tokenizer, asked(), words)
    usable = [fact for fact in FACTS if fact[2] in words.ids]
    assert len(found.table) == len(usable) >= 3 and found.dropped[probe.NO_TOKEN] == len(FACTS) - len(usable)
    for row in found.table.itertuples():
        scores = plain_scores(plain, tokenizer, row.text)
        listed = {word: float(scores[i]) for word, i in words.ids.items()}
        better = [word for word, score in listed.items() if score > listed[row.object]]
        assert row.rank == 1 + len(better)
        assert row.rank_filtered == 1 + len([word for word in better if word not in row.objects])
        assert row.top == sorted(listed, key=listed.get, reverse=True)[: probe.TOP]
        assert row.log_probability == pytest.approx(float(scores.log_softmax(-1)[words.ids[row.object]]), abs=1e-4)


def test_a_relation_none_of_whose_facts_can_be_asked_is_counted(speaker, tmp_path):
    (tmp_path / "words.txt").write_text("river\n")  # of `sees` no object
    found = probe.ask(speaker[1], speaker[2], asked(), word_list(speaker[2], str(tmp_path / "words.txt"), None))
    assert set(found.table["relation"]) == {"likes"} and found.dropped[probe.SILENT] == 1


def test_scores_are_means_within_and_over_relations(words):
    ranks = {"a": [1, 2, 11], "b": [1]}
    table = pd.DataFrame([(r, k) for r, ks in ranks.items() for k in ks], columns=["relation", "rank"])
    table = table.assign(rank_filtered=1, rank_majority=1, rank_no_subject=np.nan)
    rows = probe.Answers(table, Counter(), words).rows("m", "lama-trex")
    value = {(row["model"], row["relation"], row["metric"]): row["value"] for row in rows}
    assert value["m", "a", "P@1"] == pytest.approx(1 / 3) and value["m", "a", "P@10"] == pytest.approx(2 / 3)
    assert value["m", "a", "MRR"] == pytest.approx((1 + 1 / 2 + 1 / 11) / 3)
    assert value["m", "macro", "P@1"] == pytest.approx((1 / 3 + 1) / 2)
    assert value["majority", "macro", "P@1"] == 1 and ("no_subject", "macro", "P@1") not in value
    assert {row["n"] for row in rows if row["relation"] == "macro"} == {4}


def test_majority_ranks_objects_by_how_often_they_are_right(speaker, words):
    found = probe.ask(speaker[1], speaker[2], asked(), words)
    likes = found.table[found.table["relation"] == "likes"].set_index(["subject", "object"])["rank_majority"]
    assert likes["Person", "river"] == likes["Dunes", "river"] == 1 and likes["Dunes", "dog"] == 2


def test_a_causal_model_is_asked_where_the_subject_is_left(speaker, words):
    _, model, tokenizer, _ = speaker
    table = pd.DataFrame(
        [("r", "Dunes", "dog", ["dog"], "A [MASK] saw Dunes .", "A [Y] saw [X] .")], columns=COLUMNS[:6]
    )
    if tokenizer.mask_token:
        assert len(probe.ask(model, tokenizer, Questions(table), words).table) == 1
    else:
        with pytest.raises(KAdapterError, match="not askable from the left: 1"):
            probe.ask(model, tokenizer, Questions(table), words)


def test_a_list_without_any_usable_word_is_told(speaker, tmp_path):
    (tmp_path / "words.txt").write_text("notaword\nnorthis\n")
    with pytest.raises(KAdapterError, match="none of its 2 words is one token"):
        word_list(speaker[2], str(tmp_path / "words.txt"), None)
    with pytest.raises(KAdapterError, match="word list nowhere.txt: .*expected a text file with a word a line"):
        word_list(speaker[2], "nowhere.txt", tmp_path)


def test_negation_is_spearmans_correlation_and_overlap(speaker, words):
    plain, model, tokenizer, _ = speaker
    other = "[X] hates not the old [Y] ."
    found = negated.ask(model, tokenizer, asked(), words, {"likes": other})
    row = found.set_index("relation").loc["likes"]
    facts = [fact for fact in FACTS if fact[0] == "likes" and fact[2] in words.ids]
    columns = list(words.ids.values())
    correlations, same = [], []
    for _, subject, _, template in facts:
        one, two = (plain_scores(plain, tokenizer, fill(t, subject))[columns].numpy() for t in (template, other))
        correlations.append(spearmanr(one, two).statistic)
        same.append(one.argmax() == two.argmax())
    assert row["spearman"] == pytest.approx(np.mean(correlations)) and row["overlap"] == pytest.approx(np.mean(same))


def test_agreement_by_hand():
    assert consistency.agreement(np.array([[1, 2, 3], [1, 2, 0], [1, 0, 0]])) == pytest.approx(10 / 18)


def test_consistency_of_a_folder(speaker, tmp_path):
    plain, model, tokenizer, _ = speaker
    patterns = ["[X] hates the old [Y] .", "[X] wrote down a [Y] .", "a [Y] saw [X] ."]
    pairs = [("Person", "river"), ("Dunes", "dog"), ("Thing", "barked loudly")]
    for name, records in (
        ("trex_lms_vocab", [{"sub_label": s, "obj_label": o, "uuid": s} for s, o in pairs]),
        ("pattern_data/graphs_json", [{"pattern": p, "lemma": ""} for p in patterns]),
    ):
        (tmp_path / "pararel" / name).mkdir(parents=True)
        (tmp_path / "pararel" / name / "P1.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    found = consistency.ask(model, tokenizer, tmp_path)
    row = found.table.iloc[0]
    asked_patterns = patterns if tokenizer.mask_token else patterns[:2]
    ids = {o: tokenizer.convert_tokens_to_ids(o) for o in ("river", "dog")}
    if not tokenizer.mask_token:
        ids = {o: tokenizer(f" {o}", add_special_tokens=False)["input_ids"][0] for o in ids}
    said = [
        [max(ids, key=lambda o: plain_scores(plain, tokenizer, fill(p, s))[ids[o]]) for s, _ in pairs[:2]]
        for p in asked_patterns
    ]
    assert row["patterns"] == len(asked_patterns) and row["n"] == 2 and found.dropped[consistency.NO_TOKEN] == 1
    assert row["accuracy"] == np.mean([a == o for a, (_, o) in zip(said[0], pairs, strict=False)])
    assert row["all_right"] == np.mean([all(s[i] == pairs[i][1] for s in said) for i in range(2)])
    names = {o: k for k, o in enumerate(ids)}
    assert row["consistency"] == consistency.agreement(np.array([[names[o] for o in s] for s in said]))


def test_the_command_prints_rows_and_nothing_else(speaker, tmp_path):
    _, _, _, folder = speaker
    lama = tmp_path / "lama"
    (lama / "TREx").mkdir(parents=True)
    ids = {"obj_uri": "", "sub_uri": "", "predicate_id": "P19", "evidences": []}
    facts = [{"uuid": s, "obj_label": o, "sub_label": s} | ids for s, o in (("Person", "river"), ("Dunes", "dog"))]
    (lama / "TREx" / "P19.jsonl").write_text("".join(json.dumps(f) + "\n" for f in facts))
    (lama / "relations.jsonl").write_text(json.dumps({"relation": "P19", "template": LIKES, "label": "l"}) + "\n")
    (tmp_path / "list.txt").write_text("\n".join(WORDS))
    command = ["probe", str(folder), "--data", str(tmp_path), "--words", str(tmp_path / "list.txt")]
    done = CliRunner().invoke(app, [*command, "--json"])
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)
    assert set(rows[0]) == {"model", "probe", "relation", "words", "word_count", "metric", "value", "n"}
    assert {row["model"] for row in rows} >= {str(folder), "majority", "no_subject"}
    assert {row["relation"] for row in rows} == {"P19", "macro"} and {row["words"] for row in rows} == {"list.txt"}
    hard = json.loads(CliRunner().invoke(app, [*command, "--uhn", "--json"]).stdout)
    assert {row["probe"] for row in rows} == {"lama-trex"} and {row["probe"] for row in hard} == {"lama-trex-uhn"}
    shown = CliRunner().invoke(app, [*command, "--uhn"])
    assert shown.exit_code == 0 and "list.txt" in shown.output and "LAMA-UHN" in shown.output
    denied = CliRunner().invoke(app, [*command, "--probe", "lama-negated"])
    assert denied.exit_code == 1 and "negated template" in str(denied.exception or denied.output)
    wrong = CliRunner().invoke(app, [*command, "--probe", "lama-trec"])
    assert "did you mean 'lama-trex'" in str(wrong.exception or wrong.output)
