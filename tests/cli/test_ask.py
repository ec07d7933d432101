"""`kadapter ask` prints what Python's `ask` finds; a mistake is one sentence."""

import json
import sys

import pytest

from kadapter.cli import main
from kadapter.probing.completions import ask
from tests import speaking


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(speaking.make("llama", tmp_path_factory.mktemp("ask") / "llama"))


@pytest.fixture
def call(monkeypatch, capsys):
    def run(*arguments: str) -> tuple[object, str]:
        monkeypatch.setattr(sys, "argv", ["kadapter", "ask", *arguments])
        with pytest.raises(SystemExit) as ended:
            main.main()
        return ended.value.code, capsys.readouterr().out

    return run


def test_json_holds_what_python_finds(call, folder):
    code, out = call(folder, "Person knows [MASK] .", "--top", "3", "--json")
    found, said = ask(folder, "Person knows", top=3), json.loads(out)
    assert not code and (said["model"], said["plugged"], said["text"]) == (folder, [], "Person knows [MASK] .")
    assert [row["word"] for row in said["top"]] == list(found.words)
    assert [row["continued"] for row in said["top"]] == list(found.continued)
    assert [row["probability"] for row in said["top"]] == pytest.approx(list(found.probabilities))


def test_a_person_reads_a_table(call, folder):
    code, out = call(folder, "Person knows", "--top", "2")
    assert not code and len(out.splitlines()) == 3 and "%" in out


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["nowhere/there", "a [MASK]"], "nowhere/there"),
        (["FOLDER", "a [MASK] [MASK]"], "has 2 [MASK]; expected one"),
        (["FOLDER", " "], "nothing to read"),
        (["FOLDER", "a", "--plug", "nowhere"], "nowhere"),
    ],
)
def test_mistakes_are_one_sentence(call, folder, arguments, sentence):
    code, out = call(*[folder if word == "FOLDER" else word for word in arguments])
    assert str(code).startswith("kadapter: ") and sentence in str(code) and not out
    assert len(str(code).splitlines()) == 1
