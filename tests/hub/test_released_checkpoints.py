"""Every command and program on the page about released checkpoints, run as it stands."""

import json
import re
import shlex
from pathlib import Path

import pytest
import torch
from transformers import RobertaConfig, RobertaModel
from typer.testing import CliRunner

from kadapter import Backbone, KnowledgeModel
from kadapter.cli.main import app
from kadapter.formats import trex_rc
from kadapter.hub import adapter_folder
from tests import reference, tiny, zoo

PAGE = Path(__file__).resolve().parents[2] / "docs" / "released_checkpoints.md"
LABELS = ["hates", "knows", "leads", "likes", *(f"P{i}" for i in range(426))]


def run(command: str):
    program, *arguments = shlex.split(command)
    assert program == "kadapter"
    result = CliRunner().invoke(app, arguments)
    if isinstance(result.exception, Exception):
        raise result.exception
    return result


def blocks() -> list[tuple[str, str]]:
    """(language, text) of every block of code on the page, in order."""
    return re.findall(r"```(bash|python)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_page_runs_on_a_file_of_the_released_size(tmp_path, monkeypatch, capsys):
    """The adapter's file has the full size; the backbone has roberta-large's width and depth and thin inner layers."""
    monkeypatch.chdir(tmp_path)
    tokenizer = zoo.byte_level(False, True)
    config = RobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=1024,
        num_hidden_layers=24,
        num_attention_heads=16,
        intermediate_size=8,
        max_position_embeddings=80,
        layer_norm_eps=1e-5,
    )
    RobertaModel(config, add_pooling_layer=False).save_pretrained("roberta-large")
    tokenizer.save_pretrained("roberta-large")
    state = reference.checkpoint(head="relation", outputs=430)
    assert sum(t.numel() for t in state.values()) == 51_888_302  # ledger row 5
    Path("fac-adapter").mkdir()
    torch.save(state, "fac-adapter/pytorch_model.bin")
    Path("relations.json").write_text(json.dumps(LABELS))
    trex_rc.write(tiny.relations(8), Path("dev.json"))
    found = blocks()
    assert [language for language, _ in found] == ["bash", "python", "python", "bash", "python", "python", "bash"]
    names: dict = {}
    shown = ""
    for language, text in found:
        if language == "bash":
            for line in text.strip().splitlines():
                shown += run(line).stdout
        else:
            exec(compile(text, str(PAGE), "exec"), names)
    assert "used 108 leaves" in shown and "left 6 leaves" in shown and "left 0 leaves" in shown
    assert "47,251,200 parameters at hidden states [0, 11, 22]: adapters/factual" in shown
    printed = capsys.readouterr().out
    assert "hidden_states [0, 11, 22]" in printed and "f1" in printed
    back = torch.load("back/pytorch_model.bin", weights_only=True)
    assert back.keys() == state.keys() and all(torch.equal(back[n], t) for n, t in state.items())
    assert adapter_folder.load_adapter("adapters/copy").made_for["name"] == "roberta-large"


def test_the_page_names_only_options_that_exist():
    text = PAGE.read_text(encoding="utf-8")
    known = set(re.findall(r"--[a-z-]+", CliRunner().invoke(app, ["import", "--help"], env={"COLUMNS": "200"}).stdout))
    assert set(re.findall(r"--[a-z-]+", text)) <= known


def test_an_imported_adapter_without_its_backbone(tmp_path, monkeypatch):
    """What the page says of a machine without the backbone."""
    monkeypatch.chdir(tmp_path)
    Path("fac-adapter").mkdir()
    torch.save(reference.checkpoint(hidden=32, width=16, inner=24), "fac-adapter/pytorch_model.bin")
    result = run(
        "kadapter import fac-adapter/pytorch_model.bin --backbone roberta-large --plug-layers 0,1,2 --attention-heads 2"
    )
    assert result.stdout.rstrip().endswith(": adapters/fac-adapter")
    assert [p.name for p in Path("fac-adapter").iterdir()] == ["pytorch_model.bin"]
    assert "no fingerprint of it is recorded" in result.stderr
    model = KnowledgeModel(Backbone(zoo.make("roberta", tmp_path / "roberta")))
    with pytest.warns(UserWarning, match="records no backbone fingerprint"):
        model.plug("factual", "adapters/fac-adapter")
    model.adapters["factual"].save_pretrained("adapters/fac-adapter", model.backbone)
    KnowledgeModel(model.backbone).plug("factual", "adapters/fac-adapter")  # silent: warnings are errors here
