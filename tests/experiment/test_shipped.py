"""The models that come with the package: what the command builds, small, and shown as the first notebook says."""

import json

import numpy as np
import pytest
import torch

from kadapter.experiment import demo, shipped
from kadapter.hub.adapter_folder import read_weights
from kadapter.knowledge import pararel_facts
from kadapter.knowledge.facts import fill
from kadapter.model.backbone import Backbone


@pytest.fixture(scope="module")
def shown():
    return demo.of_the_world(5)


@pytest.fixture(scope="module")
def told():
    return demo.of_facts(5)


def test_files_are_those_that_were_built_from_what_stands_here_now():
    """A change of the recipe, or of a file by hand, fails here until the command is run again."""
    built = json.loads((shipped.FOLDER / shipped.BUILT).read_text())
    assert built["files"] == shipped.digests(shipped.FOLDER)
    assert built["recipe"] == json.loads(json.dumps(shipped.recipe()))
    assert sum(path.stat().st_size for path in shipped.FOLDER.rglob("*") if path.is_file()) < 3_000_000


@pytest.mark.timeout(900)
def test_the_command_builds_what_is_shipped(tmp_path, shown, told, monkeypatch):
    """Trained anew here. Processors add up in another order, so weights are compared as directions, and answers."""
    again = shipped.build(tmp_path / "models")
    assert shipped.digests(again).keys() == shipped.digests(shipped.FOLDER).keys()
    for name in shipped.digests(again):
        if name.endswith(".safetensors"):
            new, old = (
                torch.cat([leaf.float().flatten() for _, leaf in sorted(read_weights(folder / name).items())])
                for folder in (again, shipped.FOLDER)
            )
            assert torch.nn.functional.cosine_similarity(new, old, dim=0) > 0.9, name
    monkeypatch.setattr(shipped, "FOLDER", again)
    for rebuilt, before in ((demo.of_the_world(5), shown), (demo.of_facts(5), told)):
        for one, other in zip(rebuilt.rounds, before.rounds, strict=True):
            assert abs(one.right - other.right) <= 5
        plugged, known = rebuilt.rounds[1], before.rounds[1]
        # Without the adapter answers are guesses, which rounding moves.
        assert np.mean(plugged.scores.argmax(-1) == known.scores.argmax(-1)) > 0.75


def test_it_shows_what_it_says(shown):
    frozen, plugged, unplugged = shown.rounds
    n = len(frozen.frame)
    assert plugged.right > 0.5 * n and max(frozen.right, unplugged.right) < 0.2 * n
    table = demo.table(shown.rounds)
    assert [round.right for round in shown.rounds] == table["right answers"].tolist()
    assert table["most probable is true"][1] > 0.8 * n > 0.25 * n > table["most probable is true"][[0, 2]].max()
    assert table["by chance"].tolist() == [n // 12] * 3
    for round in shown.rounds:  # the table and the verdict say the same
        agrees = round.frame["answer"] == round.frame["true"]
        assert (agrees == (round.frame["verdict"] == "✓")).all() and agrees.sum() == round.right
        sure = round.frame["probability"] > 0.5
        assert ((round.frame["answer"] != demo.NOTHING) == sure).all()
    assert len(shown.shown) == 5 and shown.rounds[0].scores.shape[1] == 12


def test_a_real_model_learns_real_facts_and_goes_on_speaking(told):
    frozen, plugged, unplugged = told.rounds
    n = len(frozen.frame)
    assert plugged.right >= 0.8 * n and frozen.right < 0.25 * n
    assert (unplugged.scores == frozen.scores).all() and unplugged.right == frozen.right
    before, after = (float(word) for word in told.notes[0].split() if word.replace(".", "", 1).isdigit())
    assert after == pytest.approx(before, rel=0.05)
    for round in told.rounds:
        assert ((round.frame["answer"] == round.frame["true"]) == round.is_right).all()


def test_facts_are_asked_in_words_that_were_not_read():
    ways = pararel_facts.patterns()
    read = {fill(way, fact.subject) for fact in pararel_facts.facts() for way in ways[fact.relation].trained}
    asked = shipped.facts_asked()["text"]
    assert len(set(asked)) == len(asked) > 20 and not read & set(asked)


def test_those_that_are_shown_stand_for_all(shown, told):
    for found in (shown, told):
        plugged = found.rounds[1]
        for n in (1, 5, 20):
            chosen = demo.representative(plugged, n)
            right = plugged.is_right[chosen].mean()
            assert len(set(chosen)) == n and abs(right - plugged.right / len(plugged.frame)) <= 0.5 / n + 1e-9


def test_an_adapter_alone_fits_the_backbone():
    backbone = Backbone("minilm")
    assert {shipped.adapter(name, backbone).provenance["knowledge"] for name in ("F", "L")} == {"factual", "linguistic"}
