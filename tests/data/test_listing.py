"""The list of datasets: what is present is counted without parsing, as many records as reading it gives."""

import gzip
import json
import os
import re
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kadapter import catalog, world
from kadapter.cli import main
from kadapter.data import listing
from kadapter.errors import FormatError
from kadapter.formats import files, trex_rc
from tests import tiny
from tests.formats.test_formats import SAMPLES, put

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_records_are_counted_as_reading_counts_them(name, suffix, tmp_path, monkeypatch):
    module, _, text, rows = SAMPLES[name]
    kind = module.__name__.rpartition(".")[2]
    whole = {"redocred": 2, "graph_text": 4, "conceptnet": 4}  # what is published, before a reader leaves some out
    expected = whole.get(name, rows)
    for variant in (text, "\ufeff" + text, text.replace("\n", "\r\n"), text.rstrip("\n")):
        path = put(tmp_path, name, variant, suffix)
        assert listing.count_records(path, kind) == expected
        if not suffix:
            monkeypatch.setattr(files, "CHUNK", 5)  # whatever is read at a time
            assert listing.count_records(path, kind) == expected
            monkeypatch.undo()


def test_a_format_without_a_quick_way_to_count_is_read(tmp_path, monkeypatch):
    monkeypatch.delitem(listing._COUNTS, "tacred")
    path = put(tmp_path, "tacred", SAMPLES["tacred"][2])
    assert listing.count_records(path, "tacred") == SAMPLES["tacred"][3]


@settings(deadline=None)
@given(words=st.lists(st.sampled_from(['"subj_start":', '\\"subj_start":', '"subj_start"', ":", "\n", "x"])))
def test_a_key_inside_a_text_is_not_counted(words, tmp_path_factory):
    path = tmp_path_factory.mktemp("x") / "train.json"
    record = {"docid": "Q1", "relation": "P1", "subj_start": 0, "subj_end": 0, "obj_start": 0, "obj_end": 0}
    record |= {"subj_label": "".join(words), "obj_label": "", "token": ["x", *words]}
    path.write_text(json.dumps([record] * 2))
    assert listing.count_records(path, "trex_rc") == 2 == len(trex_rc.read(path))


def test_every_dataset_is_known_to_the_catalog():
    known = listing.datasets()
    assert {one["format"] for one in known.values()} <= {*catalog.FORMATS, "trex"}
    for one in known.values():
        assert set(one) <= {"use", "format", "folders", "splits", "unit", "source", "url", "licence"}
        assert one["folders"] and one["splits"] and one["url"].startswith("https://")
        assert all(set(spec) <= {"files", "size"} and spec["files"] for spec in one["splits"].values())


def test_published_sizes():
    """Those of the paper's datasets (its section 4 and the datasets' own papers)."""
    known = listing.datasets()
    sizes = {name: [spec.get("size") for spec in one["splits"].values()] for name, one in known.items()}
    assert sizes["open_entity"] == [1998, 1998, 1998]
    assert sizes["figer"] == [2_000_000, 10_000, 563]
    assert sizes["tacred"] == [68124, 22631, 15509]
    assert sizes["cosmosqa"] == [25262, 2985, 6963]
    assert sizes["fewrel"] == [64 * 700, 16 * 700]
    assert sizes["ud_english_ewt"] == [12544, 2001, 2077]


def test_an_empty_folder(tmp_path):
    found = listing.look(tmp_path)
    found = [one for one in found if one.name != "wordnet"]  # which the system may hold
    assert {one.state for one in found} == {"missing"} and all(one.folder is None for one in found)
    tacred = next(one for one in found if one.name == "tacred").plain()
    assert tacred["state"] == "missing" and tacred["expected"] == "TACRED" and "LDC2018T24" in tacred["source"]
    assert tacred["splits"][2] == {
        "name": "test", "size": 15509, "files": [], "missing": ["test.json"], "count": None, "problem": "",
    }  # fmt: skip


def find(folder, name):
    return next(one for one in listing.look(folder) if one.name == name)


def test_what_is_there_in_part(tmp_path):
    deep = tmp_path / "tacred" / "data" / "json"
    deep.mkdir(parents=True)
    (deep / "train.json.gz").write_bytes(gzip.compress(SAMPLES["tacred"][2].encode()))
    (deep / "dev.json").write_bytes(b'[{"subj_start": "\xff"}]')
    found = find(tmp_path, "tacred")
    assert found.state == "partly" and found.folder == str(deep)
    train, dev, test = found.splits
    assert train.count == 2 and train.files == [str(deep / "train.json.gz")]
    assert dev.count is None and "expected UTF-8 text" in dev.problem
    assert test.missing == ["test.json"]


def test_names_that_stand_for_one_another(tmp_path):
    (tmp_path / "CosmosQA").mkdir()
    for name in ("cosmosqa_csv", "cosmosqa_jsonl"):
        put(tmp_path / "CosmosQA", name, SAMPLES[name][2])
    assert [split.count for split in find(tmp_path, "cosmosqa").splits] == [None, 2, None]
    assert find(tmp_path, "cosmosqa").splits[1].files == [str(tmp_path / "CosmosQA" / "valid.csv")]
    (tmp_path / "searchqa").mkdir()
    path = put(tmp_path / "searchqa", "openqa", SAMPLES["openqa"][2])
    assert find(tmp_path, "searchqa").splits[1].count == 2
    path.with_suffix(".json").unlink()  # one of the pair alone is no split
    assert find(tmp_path, "searchqa").splits[1].missing == ["dev.json"]


def test_the_world_is_listed(tmp_path):
    counts = world.build(tmp_path, entities=60)
    found = {one.name: one for one in listing.look(tmp_path)}
    for name, folder, suffix in (
        ("trex_rc", "trex", "json"), ("figer", "figer", "json"), ("tacred", "tacred", "json"),
        ("searchqa", "searchqa", "txt"), ("quasart", "quasart", "txt"),
    ):  # fmt: skip
        assert {split.name: split.count for split in found[name].splits} == {
            split.name: counts[f"{folder}/{split.name}.{suffix}"] for split in found[name].splits
        }
    assert found["lama"].splits[0].count == sum(n for name, n in counts.items() if name.startswith("lama/TREx"))
    assert [split.count for split in found["trex"].splits] == [1]


def test_counting_is_fast(tmp_path):
    trex_rc.write(tiny.relations(2000), tmp_path / "one.json")
    text = (tmp_path / "one.json").read_text()
    with (tmp_path / "train.json").open("w") as file:
        for _ in range(30):
            file.write(text)
    started = time.process_time()
    assert listing.count_records(tmp_path / "train.json", "trex_rc") == 60_000
    assert 60_000 / (time.process_time() - started) > 100_000


def call(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["kadapter", *arguments])
    with pytest.raises(SystemExit) as ended:
        main.main()
    return ended.value.code


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KADAPTER_DATA", str(tmp_path))
    (tmp_path / "figer_gold").mkdir()
    put(tmp_path / "figer_gold", "figer_gold", SAMPLES["figer_gold"][2])
    assert not call(monkeypatch, "data")
    shown = capsys.readouterr().out
    assert all(name in shown for name in listing.datasets())
    assert "all: 3 / 563" in shown and "train: no train.json (68,124)" in shown and "LDC2018T24" in shown
    assert not call(monkeypatch, "data", "--json")
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == list(listing.datasets())
    assert next(row for row in rows if row["name"] == "figer_gold")["splits"][0]["count"] == 3
    assert not call(monkeypatch, "data", "list", "--path", str(tmp_path / "figer_gold"), "--json")
    found = [row["state"] for row in json.loads(capsys.readouterr().out) if row["name"] != "wordnet"]
    assert set(found) == {"missing"}, "WordNet apart, which the system may hold"
    assert "--path names " in str(call(monkeypatch, "data", "--path", "/nowhere"))
    monkeypatch.setenv("KADAPTER_DATA", "/nowhere")
    assert "KADAPTER_DATA names /nowhere, and there is no such folder" in str(call(monkeypatch, "data"))
    monkeypatch.delenv("KADAPTER_DATA")
    monkeypatch.chdir(tmp_path)
    assert not call(monkeypatch, "data")
    assert re.match(r"[01] of \d+ datasets are complete", capsys.readouterr().out)  # WordNet, or none
    assert not call(monkeypatch, "data", "--help") and "parse" in capsys.readouterr().out


def test_real_files(real_data):
    found = {one.name: one for one in listing.look(real_data)}
    for name in ("ud_english_ewt", "wiki80", "figer_gold", "xquad_en", "semeval2010_task8", "codex_m"):
        assert found[name].state == "present"
        assert [split.count for split in found[name].splits] == [split.size for split in found[name].splits]
    assert [split.count for split in found["cosmosqa"].splits] == [None, 2985, None]
    assert [split.count for split in found["re_docred"].splits] == [None, 500, 500]
    assert [split.count for split in found["lama"].splits] == [22881, 5528, 305] and found["lama"].state == "partly"


def test_the_readme_has_the_same_table():
    text = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    assert listing.markdown() in text
    assert all(f"| {name} |" in text for name in listing.datasets())


def test_a_torn_file(tmp_path):
    (tmp_path / "x.json.gz").write_bytes(gzip.compress(os.urandom(3000).hex().encode())[:-20])
    with pytest.raises(FormatError, match="a whole gzip file"):
        listing.count_records(tmp_path / "x.json.gz", "tacred")
