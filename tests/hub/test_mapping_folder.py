"""Saved mappings: equal when loaded, refused where they do not belong; official files read."""

import json

import numpy as np
import pytest
import torch

from kadapter import catalog
from kadapter.errors import KAdapterError
from kadapter.graphs.embeddings import EntityEmbeddings
from kadapter.hub.mapping_folder import import_mapping, load_mapping
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.model.mapping import EntityMapping, build_mapping
from kadapter.training.batches import encode
from kadapter.training.predict import predict
from tests import linked, tiny


@pytest.fixture
def entities(tmp_path):
    return EntityEmbeddings.open(linked.embeddings().save(tmp_path / "kg"))


@pytest.fixture
def backbone(tiny_folder):
    return Backbone(tiny_folder)


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.network.parameters(), other.network.parameters(), strict=True))


@pytest.mark.parametrize("hidden", [None, 5])
def test_saves_and_loads_equal(entities, backbone, tmp_path, hidden):
    mapping = build_mapping("kg", entities, backbone, hidden, unlinked="bias", seed=3)
    mapping.provenance = {"stage": "general", "dev_scores": {"probability": 0.25}}
    folder = mapping.save_pretrained(tmp_path / "saved", backbone)
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", "mapping.safetensors", "mapping_config.json"]
    again = EntityMapping.from_pretrained(folder, backbone=backbone)
    assert same(mapping, again) and (again.unlinked, again.name, again.provenance) == ("bias", "kg", mapping.provenance)
    assert not any(p.requires_grad for p in again.parameters())
    card = (folder / "README.md").read_text()
    assert "| dev | probability | 0.2500 | - |" in card and "map-tuning" in card and "Zhang et al., 2023" in card
    again.save_pretrained(tmp_path / "again")  # it knows its backbone
    assert (tmp_path / "again" / "mapping_config.json").read_text() == (folder / "mapping_config.json").read_text()


def test_a_model_with_a_mapping_and_an_adapter_saves_and_loads_equal(entities, backbone, tiny_folder, tmp_path):
    from kadapter.model.adapter import build_adapter

    task = catalog.task("relation", labels=["hates", "knows", "leads", "likes"], max_length=32)
    mapping = build_mapping("kg", entities, backbone)
    model = KnowledgeModel(backbone, adapters={"F": build_adapter(tiny.sizes())}, task=task, mapping=mapping)
    model.train_only("mapping").save_pretrained(tmp_path / "model")
    again = KnowledgeModel.from_pretrained(tmp_path / "model")
    assert again.regime == "mapping" and again.mapping.name == "kg"
    encoded = encode(task, load_tokenizer(tiny_folder), linked.relations(), mapping=again.mapping)
    for one, other in zip(predict(model, encoded).outputs, predict(again, encoded).outputs, strict=True):
        assert np.array_equal(one, other)


def test_what_does_not_belong_is_refused(entities, backbone, tmp_path):
    mapping = build_mapping("kg", entities, backbone)
    with pytest.raises(KAdapterError, match="this mapping has no backbone yet"):
        mapping.save_pretrained(tmp_path / "saved")
    folder = mapping.save_pretrained(tmp_path / "saved", backbone)
    with pytest.raises(KAdapterError, match="was trained on entity embeddings .* give those"):
        load_mapping(folder, linked.embeddings(seed=1))
    assert same(mapping, load_mapping(folder, linked.embeddings(seed=1), force=True))
    other = Backbone(tiny.make_backbone(tmp_path / "other", seed=1))
    with pytest.raises(KAdapterError, match="was made for a backbone with fingerprint"):
        KnowledgeModel(other).plug_mapping(folder)
    with pytest.warns(UserWarning, match="was made for a backbone"):
        assert KnowledgeModel(other).plug_mapping(folder, force=True).mapping.name == "kg"
    config = json.loads((folder / "mapping_config.json").read_text())
    config["embeddings"]["path"] = str(tmp_path / "gone")
    (folder / "mapping_config.json").write_text(json.dumps(config))
    with pytest.raises(KAdapterError, match="names no entity embeddings that are here"):
        load_mapping(folder)
    (folder / "mapping_config.json").write_text(json.dumps(config | {"width": 7}))
    with pytest.raises(KAdapterError, match=r"leaf 'layers.0.weight' has shape \[32, 6\]; expected \[32, 7\]"):
        load_mapping(folder, entities)


def test_an_official_network_is_read(tmp_path):
    """`AffineMapper.save` writes the state dict of a linear layer named `model`."""
    linear = torch.nn.Linear(128, 768)
    torch.save({f"model.{name}": p for name, p in linear.state_dict().items()}, tmp_path / "Affine_5.bin")
    entities = linked.embeddings(width=128)
    mapping = import_mapping(tmp_path / "Affine_5.bin", "wikidata", entities)
    assert sum(p.numel() for p in mapping.network.parameters()) == 99_072 and mapping.unlinked == "bias"
    expected = linear(torch.from_numpy(np.array(entities.matrix[[3, 0]])))
    assert torch.equal(mapping(torch.tensor([3, 0])), expected)
    torch.save({"bert.weight": torch.zeros(1)}, tmp_path / "other.bin")
    with pytest.raises(KAdapterError, match=r"found leaves bert.weight; expected model.weight and model.bias"):
        import_mapping(tmp_path / "other.bin", "x", entities)


def test_a_mapping_is_pushed(entities, backbone, tmp_path, monkeypatch):
    import huggingface_hub

    seen = {}

    class Api:
        def create_repo(self, repo, private, exist_ok):
            seen["repo"] = repo

        def upload_folder(self, repo_id, folder_path, **commit):
            from pathlib import Path
            from types import SimpleNamespace

            seen["files"] = sorted(p.name for p in Path(folder_path).iterdir())
            seen["message"] = commit["commit_message"]
            return SimpleNamespace(commit_url="https://hub/commit")

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    mapping = build_mapping("kg", entities, backbone)
    assert mapping.push_to_hub("ada/kg", backbone) == "https://hub/commit"
    assert seen["repo"] == "ada/kg" and seen["message"] == "Upload a mapping network"
    assert seen["files"] == ["README.md", "mapping.safetensors", "mapping_config.json"]
