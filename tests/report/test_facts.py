"""Tables 5 and 6: what was probed here beside the published rows, each with its word list; the right word is bold."""

import io

import numpy as np
import pandas as pd
import pytest

from kadapter.report import facts, published


def rows(model: str, probe: str, value: float, words: str = "common_vocab_cased.txt", count: int = 16342) -> list[dict]:
    """As `kadapter probe --json` prints them."""
    shared = {"model": model, "probe": probe, "words": words, "word_count": count, "n": 5000}
    return [
        shared | {"relation": "P19", "metric": "P@1", "value": 0.9},
        shared | {"relation": "macro", "metric": "P@10", "value": 0.8},
        shared | {"relation": "macro", "metric": "P@1", "value": value},
    ]


@pytest.fixture
def table() -> pd.DataFrame:
    found = [*rows("smollm2", "lama-trex", 0.12), *rows("smollm2 <F>", "lama-trex", 0.985), *rows("x", "pararel", 0.5)]
    return facts.table5([*found, *rows("smollm2", "lama-trex-uhn", 0.081)])


def test_table_5_has_the_published_rows_and_ours(table):
    published_rows = table[table["source"] == facts.PAPER].set_index("model")
    assert published_rows.loc["K-Adapter", ["google_re", "uhn_google_re", "trex", "uhn_trex"]].tolist() == [
        *(7.0, 3.7, 29.1, 23.0)
    ]
    ours = table[table["source"] == facts.HERE].set_index("model")
    assert ours.index.tolist() == ["smollm2", "smollm2 <F>"]
    assert ours.loc["smollm2", ["trex", "uhn_trex"]].tolist() == pytest.approx([12.0, 8.1])
    assert ours.loc["smollm2 <F>", "trex"] == pytest.approx(98.5) and np.isnan(ours.loc["smollm2 <F>", "uhn_trex"])
    assert set(ours["words"]) == {"common_vocab_cased.txt (16,342)"}
    assert set(published_rows["words"]) == {facts.UNTOLD}
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(table.to_csv(index=False))), table)


def test_every_published_row_of_lama_has_all_columns():
    entry = published.datasets()["lama"]
    assert entry["metrics"] == list(facts.COLUMNS)
    for row in [*entry["rows"], *entry["others"]]:
        assert len(row["scores"]) == len(entry["metrics"])
    assert all(row["source"] for row in entry["others"])
    others = {(row["model"], row["scores"][2]) for row in entry["others"]}  # T-REx, as the papers print it
    assert others == {("BERT-base", 31.1), ("BERT-large", 32.3), ("RoBERTa-base", 24.7), ("KEPLER-Wiki", 24.6)}
    assert set(published.rows("lama")["model"]) == {row["model"] for row in entry["rows"]}  # the paper's alone


def test_lists_of_words_are_compared_in_words(table):
    said = facts.about_lists(table)
    assert "The same list was used for BERT-base, BERT-large" in said and "common_vocab_cased.txt (16,342)" in said
    other = facts.table5(rows("m", "lama-trex", 0.1, words="mine.txt", count=9))
    assert "No published row is known to use this list" in facts.about_lists(other)
    assert facts.about_lists(facts.table5([])) == "No model was probed here."


def test_table_5_as_html_and_latex(table):
    html, latex = facts.html5(table), facts.latex5(table)
    assert "smollm2 &lt;F&gt;" in html and "<F>" not in html and ">98.5</td>" in html and "UHN T-REx" in html
    assert r"common\_vocab\_cased.txt" in latex and r"\textless{}F\textgreater{}" in latex
    line = next(line for line in latex.splitlines() if line.startswith("smollm2 & here"))
    assert line.endswith(r"& -- & -- & 12.0 & 8.1 & -- & -- \\")
    widths = {line.count(" & ") for line in latex.splitlines() if line.endswith(r"\\")}
    assert widths == {2 + len(facts.COLUMNS)} and latex.count("{") == latex.count("}")


def asked(ranks: list[int], tops: list[list[str]]) -> pd.DataFrame:
    """As `kadapter.probing.probe.ask` leaves its table."""
    return pd.DataFrame(
        {
            "relation": ["P36", "P36", "squad"],
            "subject": ["France", "Peru_1", ""],
            "object": ["Paris", "Lima", "blue"],
            "objects": [["Paris", "Versailles"], ["Lima"], ["blue", "azure"]],
            "text": ["The capital of France is [MASK] .", "The capital of Peru_1 is [MASK] .", "The sky is [MASK] ."],
            "rank": ranks,
            "top": tops,
        }
    )


def test_table_6_marks_the_right_word():
    backbone = asked([2, 3, 1], [["London", "Paris"], ["Rome", "Oslo"], ["azure", "grey"]])
    knowing = asked([1, 1, 1], [["Paris", "Versailles"], ["Lima", "Rome"], ["azure", "blue"]])
    models = {"backbone": backbone, "F": knowing}
    chosen = facts.questions(models, "F", "backbone")
    assert chosen == ["The capital of France is [MASK] ."]  # the first of its relation
    table = facts.table6(models, [*chosen, "The sky is [MASK] .", "never asked"])
    right = table[table["right"]]
    assert right[["model", "rank", "word"]].to_numpy().tolist() == [
        *(["backbone", 2, "Paris"], ["F", 1, "Paris"]),  # Versailles is another fact's object
        *(["backbone", 1, "azure"], ["F", 1, "azure"], ["F", 2, "blue"]),  # without a subject every answer counts
    ]
    assert "London, <b>Paris</b>" in facts.html6(table)
    latex = facts.latex6(facts.table6(models, ["The capital of Peru_1 is [MASK] ."]))
    assert r"Peru\_1" in latex and r"\textbf{Lima}, Rome" in latex
    assert facts.table6(models, []).empty
