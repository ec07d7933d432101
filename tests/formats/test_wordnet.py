"""WordNet's database as nltk reads it: the generated world's, and the one that is installed."""

import shutil
import sys
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kadapter.errors import KAdapterError
from kadapter.formats import wordnet
from kadapter.knowledge import wordnet as installed
from kadapter.world import World
from kadapter.world.lexicon import SENSES, synsets, write_wordnet
from tests.formats.test_formats import table


@pytest.fixture(scope="module")
def world():
    return World(seed=1, entities=48)


@pytest.fixture(scope="module")
def database(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("world") / "wordnet"
    assert write_wordnet(world, folder) == len(synsets(world))
    return folder


@pytest.fixture(scope="session")
def real_wordnet():
    try:
        return installed.folder()
    except KAdapterError as error:
        pytest.skip(str(error))


def test_the_world_as_a_database(world, database):
    rows, known = table(wordnet.read(database / "data.noun")), synsets(world)
    offsets = {mine["id"]: row["id"] for mine, row in zip(known, rows, strict=True)}
    assert rows == [
        mine | {"id": offsets[mine["id"]], "hypernyms": [offsets[above] for above in mine["hypernyms"]]}
        for mine in known
    ]
    assert {row["supersense"] for row in rows} == {*SENSES.values(), "noun.Tops"}
    with closing(wordnet.database(database)) as reader:
        short = next(row["lemmas"][1] for row in rows if len(row["lemmas"]) > 1)
        senses = reader.synsets(short.replace(" ", "_"))  # through the index: a short name means two things
        assert len(senses) == 2 and len({sense.instance_hypernyms()[0] for sense in senses}) == 2


def test_the_installed_database(real_wordnet):
    """Counts as wnstats(7WN) gives them for WordNet 3.0; read another way, by its lines."""
    verbs = wordnet.read(real_wordnet / "data.verb")
    assert len(verbs) == 13767
    lines = [line for line in (real_wordnet / "data.verb").read_text().splitlines() if not line.startswith(" ")]
    for row, line in zip(table(verbs), lines, strict=True):
        columns = line.split()
        assert row["id"] == f"{columns[0]}-v" and row["supersense"] == wordnet.SUPERSENSES[int(columns[1])]
        assert [lemma.replace(" ", "_") for lemma in row["lemmas"]] == columns[4 : 4 + 2 * int(columns[3], 16) : 2]
        assert set(row["hypernyms"]) == {f"{columns[i + 1]}-v" for i, c in enumerate(columns) if c == "@"}
    first = verbs[0]
    assert first["lemmas"][0] == "breathe" and first["examples"][0].startswith("I can breathe better")


def test_words_of_text_have_supersenses(real_wordnet):
    senses = installed.installed(real_wordnet)
    assert {"noun.animal", "noun.person"} < set(senses.of("Dogs", "NOUN"))
    assert senses.of("ran", "VERB") == senses.of("run", "VERB") and "verb.motion" in senses.of("ran", "VERB")
    assert senses.of("quickly", "ADV") == () == senses.of("xyzzy", "NOUN")


def test_a_part_is_no_database(database, tmp_path):
    whole = wordnet.read(database / "data.noun")
    wordnet.write(whole, tmp_path / "data.jsonl")
    assert table(wordnet.read(tmp_path / "data.jsonl")) == table(whole)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_broken_database_is_refused_in_one_sentence(database, tmp_path, data):
    """Bytes exchanged, lines lost, a file cut: rows, or an error that says what was expected."""
    folder = tmp_path / "broken"
    shutil.copytree(database, folder, dirs_exist_ok=True)
    file = folder / data.draw(st.sampled_from(["data.noun", "index.noun", "lexnames"]))
    content = bytearray(file.read_bytes())
    start = data.draw(st.integers(0, len(content) - 1))
    match data.draw(st.sampled_from(["exchange", "cut", "lose"])):
        case "exchange":
            content[start : start + 9] = data.draw(st.binary(min_size=9, max_size=9))
        case "cut":
            del content[start:]
        case "lose":
            del content[start : start + data.draw(st.integers(1, 400))]
    file.write_bytes(bytes(content))
    try:
        assert len(wordnet.read(folder / "data.noun"))
    except KAdapterError as error:
        assert "\n" not in str(error) and "expected" in str(error)


def test_what_is_missing_is_said(database, tmp_path, monkeypatch):
    part = tmp_path / "part"
    shutil.copytree(database, part)
    (part / "index.verb").unlink()
    with pytest.raises(KAdapterError, match="part has no index.verb: expected a WordNet database"):
        wordnet.read(part / "data.noun")
    monkeypatch.setenv(installed.ENVIRONMENT, str(tmp_path))
    with pytest.raises(KAdapterError, match="WordNet is not there: found no data.noun in .*; apt-get install"):
        installed.folder()
    monkeypatch.setenv(installed.ENVIRONMENT, str(database))
    assert installed.folder() == database
    monkeypatch.setitem(sys.modules, "nltk.corpus.reader.wordnet", None)
    with pytest.raises(KAdapterError, match=r"read by nltk, which is not there: pip install 'kadapter\[wordnet\]'"):
        wordnet.read(database / "data.noun")
