"""`kadapter graphs`: embeddings trained, mentions counted, questions linked, from files to files."""

import json
import re

import pytest
from typer.testing import CliRunner

from kadapter.cli.graphs import app
from kadapter.formats import linked_cloze, opennre
from kadapter.graphs.embeddings import EntityEmbeddings
from kadapter.graphs.surfaces import of_texts
from kadapter.world import World, map_tuning
from kadapter.world.probes import write_triples


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pytest.importorskip("pykeen", reason="the extra `graphs` is not installed")
    folder = tmp_path_factory.mktemp("world")
    world = World(entities=60)
    write_triples(world, folder)
    opennre.write(map_tuning.linked(world)["train"], folder / "linked.txt")
    train, test = (str(folder / "triples" / f"{split}.txt") for split in ("train", "test"))
    options = ["--test", test, "--width", "8", "--epochs", "2", "--model", "rotate"]
    done = CliRunner().invoke(app, ["embed", train, str(folder / "entities"), *options])
    assert done.exit_code == 0, done.output
    assert "# Entity embeddings: rotate" in done.output and re.search(r"\| test \| \d+ \| 0 \|", done.output)
    return folder


def test_embed_and_link(folder):
    assert EntityEmbeddings.open(folder / "entities").width == 8
    command = ["link", str(folder / "linked.txt"), str(folder / "entities"), "--format", "opennre"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0 and "100.0% of the mentions are linked" in done.output


def test_questions(folder, tmp_path):
    names = of_texts(folder / "triples" / "entity2text.txt")
    first = next(iter(names))
    (tmp_path / "relation_query_templates.json").write_text(json.dumps({"P19": "Where was [X] born?"}))
    for split in ("train", "dev", "test"):
        (tmp_path / "dataset" / split).mkdir(parents=True)
        asked = [
            {"question": f"Where was {name} born?", "answers": answers}
            for name, answers in ((first, ["Nowhere in it", "London"]), (first, ["Xqzzx"]), ("Nobody", ["Rome"]))
        ]
        (tmp_path / "dataset" / split / f"P19.{split}.json").write_text(json.dumps(asked))
    arguments = [tmp_path / "dataset", folder / "entities", folder / "triples" / "entity2text.txt", tmp_path / "out"]
    done = CliRunner().invoke(app, ["questions", *map(str, arguments), "--one-piece", "minilm"])
    assert done.exit_code == 0, done.output
    assert "test: 1 questions" in done.output and "1  dropped: subject: not linked" in done.output
    [row] = linked_cloze.read(tmp_path / "out" / "test.jsonl")
    assert (row["text"], row["answer"]) == (f"Where was $ {first} $ born? [MASK]", "London")
    assert row["links"] == [{"start": 12, "end": 12 + len(first), "entity": names[first][0]}]
