"""`kadapter bench mapping`: both rows read the same sentences, the injected ones two tokens a mention longer."""

import json

import numpy as np
from typer.testing import CliRunner

from kadapter.bench.examples import make_sentences
from kadapter.bench.mapping import with_links
from kadapter.cli.main import app


def test_places_stand_before_the_mentions():
    plain = make_sentences(5, 2000)
    linked = with_links(plain)
    assert (linked.lengths == plain.lengths + 4).all()
    batch = linked.__getitems__([0])
    places = np.flatnonzero(batch["link_rows"][0] >= 0)
    starts = np.asarray(plain.columns["spans"])[0, :, 0]
    assert places.tolist() == [starts[0], starts[1] + 2]


def test_the_command_measures_both(tiny_folder):
    done = CliRunner().invoke(app, ["bench", "mapping", "--backbone", str(tiny_folder), "--quick", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert [row["name"] for row in found["rows"]] == ["plain", "injected"]
    assert found["ratios"]["injected/plain, tokens a second"] > 0.2
