"""`kadapter infuse`: JSON and nothing else, a table for a person, one sentence for a mistake."""

import json
import sys

import pytest

from kadapter.cli import main
from kadapter.experiment import infusion_facts
from kadapter.probing.completions import ask
from tests import speaking

KEYS = [
    "kind", "items", "dropped", "seen_before", "seen_after", "paraphrase_before", "paraphrase_after", "control_after",
    "perplexity_before", "perplexity_after", "seconds", "adapter",
]  # fmt: skip
SMALL = {"KEPT": 6, "PROBES": 4, "DOCUMENTS": 2, "ENTITIES": 2, "STEPS": 30}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("infuse")
    speaking.make("llama", folder / "llama")
    (folder / "facts.csv").write_text("person1,pet,dog\nperson2,home,river\nnothing\n")
    return folder


@pytest.fixture
def call(monkeypatch, capsys, place):
    monkeypatch.chdir(place)
    for name, value in SMALL.items():
        monkeypatch.setattr(infusion_facts, name, value)

    def run(*arguments: str) -> tuple[object, str]:
        monkeypatch.setattr(sys, "argv", ["kadapter", *arguments])
        with pytest.raises(SystemExit) as ended:
            main.main()
        return ended.value.code, capsys.readouterr().out

    return run


def test_json_is_what_is_promised_and_the_adapter_is_there(call, place):
    code, out = call("infuse", "facts.csv", "--backbone", "llama", "--out", "mine", "--minutes", "5", "--json")
    found = json.loads(out)
    assert not code and list(found) == KEYS
    assert (found["kind"], found["items"], found["dropped"], found["adapter"]) == ("triples", 2, 1, "mine")
    assert {"page.html", "README.md", "infusion.json", "adapter.safetensors"} <= {p.name for p in place.glob("mine/*")}
    asked = call("ask", "llama", "--plug", "mine", "The home of person2 is", "--json")[1]
    assert json.loads(asked)["top"][0]["word"] == ask("llama", "The home of person2 is", ["mine"]).words[0]
    code, out = call("infuse", "facts.csv", "--backbone", "llama", "--out", "mine")
    assert str(code).startswith("kadapter: mine is there already")


def test_a_person_is_told_what_was_read_and_learned(call):
    code, out = call("infuse", "facts.csv", "--backbone", "llama", "--out", "told", "--minutes", "5")
    assert not code and "2 facts from facts.csv: triples (2 of the first 3 lines are; --as says otherwise)" in out
    assert "1 left out" in out and "line 3" in out
    assert (
        "as they were never read" in out and "Page: told/page.html" in out and "kadapter ask llama --plug told" in out
    )


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["empty.tsv"], "usable lines: found 0; expected"),
        (["facts.csv", "--as", "trees"], "unknown kind of file 'trees'"),
        (["facts.csv", "--minutes", "0"], "minutes: found 0.0; expected a number above 0"),
        (["facts.csv", "--backbone", "nowhere"], "nowhere"),
        (["facts.csv", "--strict"], "facts.csv, line 3: triples: found 'nothing'; expected"),
        (["nowhere.tsv"], "nowhere.tsv: cannot be read"),
    ],
)
def test_mistakes_are_one_sentence(call, place, arguments, sentence):
    (place / "empty.tsv").write_text("")
    backbone = [] if "--backbone" in arguments else ["--backbone", "llama"]
    code, _ = call("infuse", *arguments, *backbone, "--out", "wrong")
    assert str(code).startswith("kadapter: ") and sentence in str(code) and len(str(code).splitlines()) == 1
    assert not (place / "wrong").exists()
