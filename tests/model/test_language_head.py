"""The language head gives the scores of the plain Hugging Face model; an untrained adapter changes none by a bit."""

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

from kadapter import catalog
from kadapter.errors import KAdapterError
from kadapter.hub.adapter_folder import PretrainingHead
from kadapter.model.adapter import AdapterConfig, build_adapter
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.model.language_head import LanguageHead, language_kind, own_language_head
from kadapter.training.language import language_model
from tests import speaking

TEXTS = ["They saw Arbon there .", "The naïve dog barked loudly at Coxon , who wrote ."]


@pytest.fixture(scope="module", params=speaking.MASKED + speaking.CAUSAL)
def speaker(request, tmp_path_factory):
    """(kind, folder) of a saved language model."""
    kind = "masked" if request.param in speaking.MASKED else "causal"
    return kind, speaking.make(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module", params=["bert", "llama"])
def folder(request, tmp_path_factory):
    return speaking.make(request.param, tmp_path_factory.mktemp(request.param))


def batch_of(folder):
    """A padded batch with every position asked."""
    tokenizer = load_tokenizer(folder)
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    mask = batch["attention_mask"]
    places = torch.arange(mask.shape[1]).expand_as(mask)
    return {
        "input_ids": batch["input_ids"],
        "attention_mask": mask,
        "asked": places.masked_fill(mask == 0, -1),
        "labels": batch["input_ids"].masked_fill(mask == 0, -100),
        "plain": torch.zeros(2, dtype=torch.long),
    }


def plain(kind, folder, batch):
    """The scores of the plain Hugging Face model at real tokens."""
    loader = AutoModelForMaskedLM if kind == "masked" else AutoModelForCausalLM
    model = loader.from_pretrained(folder).eval()
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        return model(**inputs).logits[batch["attention_mask"].bool()]


def test_scores_are_those_of_the_plain_model(speaker):
    kind, folder = speaker
    backbone = Backbone(folder)
    assert language_kind(backbone) == kind
    batch = batch_of(folder)
    expected = plain(kind, folder, batch)
    model = language_model(backbone)
    scores = model(**batch).logits
    torch.testing.assert_close(scores, expected, rtol=1e-5, atol=1e-5)
    assert expected.std(-1).min() > 0.01
    last = backbone.hidden_states(batch["input_ids"], batch["attention_mask"])[0][batch["attention_mask"].bool()]
    head = own_language_head(backbone)
    columns = torch.tensor([7, 3, 11, 3])
    torch.testing.assert_close(head(last, columns), expected[:, columns], rtol=1e-5, atol=1e-5)
    each = torch.randint(0, head.vocabulary, (len(last), 5))
    torch.testing.assert_close(head(last, each), expected.gather(1, each), rtol=1e-5, atol=1e-5)
    assert head.vocabulary == expected.shape[1] and own_language_head(backbone) is head


@pytest.mark.parametrize("tied", [True, False])
def test_tied_and_untied_heads(tmp_path, tied):
    folder = speaking.make("llama", tmp_path, tie_word_embeddings=tied)
    backbone, batch = Backbone(folder), batch_of(folder)
    head = own_language_head(backbone)
    assert isinstance(head, LanguageHead) and (sum(p.numel() for p in head.parameters()) == 0) == tied
    model = language_model(backbone)
    torch.testing.assert_close(model(**batch).logits, plain("causal", folder, batch), rtol=1e-5, atol=1e-5)
    before = backbone.fingerprint
    assert not any(p.requires_grad for p in model.train_only("adapter").parameters())
    assert backbone.fingerprint == before == Backbone(folder).fingerprint


def adapter_for(backbone, seed=0):
    return build_adapter(AdapterConfig.for_backbone(backbone, width=16, layers=1, init_std=0.05), seed).eval()


def test_an_untrained_adapter_changes_no_score_by_a_bit(folder):
    backbone, batch = Backbone(folder), batch_of(folder)
    bare = language_model(backbone)(**batch).logits
    model = language_model(backbone, {"F": adapter_for(backbone), "L": adapter_for(backbone, 1)})
    assert torch.equal(model(**batch).logits, bare)
    with torch.no_grad():
        model.fusion.parts[0].linear.weight.normal_()
    assert not torch.allclose(model(**batch).logits, bare)
    with model.only("L"):
        assert torch.equal(model(**batch).logits, bare)
    with model.only():
        assert torch.equal(model(**batch).logits, bare)
    model.unplug("F")
    assert torch.equal(model(**batch).logits, bare)


def test_the_projection_travels_with_the_adapter(folder, tmp_path):
    backbone, batch = Backbone(folder), batch_of(folder)
    model = language_model(backbone, {"F": adapter_for(backbone)})
    with torch.no_grad():
        model.fusion.parts[0].linear.weight.normal_(std=0.1)
    expected = model(**batch).logits
    adapter = model.adapters["F"]
    weights = {f"fusion.{k}": v for k, v in model.fusion.state_dict().items()}
    adapter.pretraining_head = PretrainingHead("cloze", model.task.options(), "residual", weights)
    adapter.save_pretrained(tmp_path / "F", backbone)
    fresh = Backbone(folder)
    assert torch.equal(KnowledgeModel.from_adapter(tmp_path / "F", fresh)(**batch).logits, expected)
    late = language_model(fresh)
    bare = late(**batch).logits
    late.plug("L", adapter_for(fresh, 1)).plug("F", tmp_path / "F")
    torch.testing.assert_close(late.eval()(**batch).logits, expected, rtol=1e-5, atol=1e-5)
    late.unplug("F")
    assert torch.equal(late(**batch).logits, bare)
    model.save_pretrained(tmp_path / "model")
    again = KnowledgeModel.from_pretrained(tmp_path / "model", fresh)
    assert torch.equal(again(**batch).logits, expected)


def test_a_new_head_is_trained_and_saved(tmp_path):
    folder = speaking.make("bert", tmp_path / "backbone")
    backbone = Backbone(folder)
    task = catalog.task("cloze", language_head="new")
    model = KnowledgeModel(backbone, "concat", {"F": adapter_for(backbone)}, task).train_only("frozen")
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {"head.trained.linear.weight", "head.trained.linear.bias"}
    assert model.head.trained.linear.weight.shape == (backbone.config.vocab_size, 64)
    model.eval().save_pretrained(tmp_path / "model")
    batch = batch_of(folder)
    again = KnowledgeModel.from_pretrained(tmp_path / "model", backbone)
    assert torch.equal(again(**batch).logits, model(**batch).logits)


def test_a_tied_head_is_berts_own(tmp_path):
    """With the weights of BERT's head it scores as BERT does; it trains a transform and a bias alone, and is saved."""
    folder = speaking.make("bert", tmp_path / "backbone", tie_word_embeddings=True)
    backbone, batch = Backbone(folder), batch_of(folder)
    model = KnowledgeModel(backbone, task=catalog.task("cloze", language_head="tied")).train_only("frozen").eval()
    trained = {name.removeprefix("head.trained.") for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {"dense.weight", "dense.bias", "norm.weight", "norm.bias", "bias"}
    own = AutoModelForMaskedLM.from_pretrained(folder).cls.predictions
    head = model.head.trained
    head.norm.eps = own.transform.LayerNorm.eps
    head.dense.load_state_dict(own.transform.dense.state_dict())
    head.norm.load_state_dict(own.transform.LayerNorm.state_dict())
    head.bias.data.copy_(own.bias)
    torch.testing.assert_close(model(**batch).logits, plain("masked", folder, batch), rtol=1e-5, atol=1e-5)
    model.head.tokens = torch.unique(batch["labels"][batch["labels"] >= 0])
    found, told = model.train()(**batch), model.eval()(**batch).logits[:, model.head.tokens]
    torch.testing.assert_close(found.logits, told)  # of some tokens alone while it trains
    right = torch.searchsorted(model.head.tokens, batch["labels"][batch["asked"] >= 0].clamp(min=0))
    assert (batch["labels"][batch["asked"] >= 0] >= 0).all()
    torch.testing.assert_close(found.loss, torch.nn.functional.cross_entropy(told, right))
    model.save_pretrained(tmp_path / "model")
    again = KnowledgeModel.from_pretrained(tmp_path / "model", backbone)
    again.head.trained.norm.eps = head.norm.eps
    assert torch.equal(again(**batch).logits, model(**batch).logits)


def test_what_does_not_speak_is_one_sentence(tiny_folder, tmp_path):
    with pytest.raises(KAdapterError, match="comes without a language head of its own .*language_head='new'"):
        language_model(Backbone(tiny_folder))
    bert, llama = (Backbone(speaking.make(name, tmp_path / name)) for name in ("bert", "llama"))
    with pytest.raises(KAdapterError, match="task cloze reads masked, but backbone .* is a causal model: set reading="):
        KnowledgeModel(llama, "residual", task=catalog.task("cloze"))
    with pytest.raises(KAdapterError, match="reads vectors of width 32, and the fusion gives 64: expected fusion="):
        KnowledgeModel(bert, "concat", {"F": adapter_for(bert)}, catalog.task("cloze"))
    (tmp_path / "t5").mkdir()
    from tests import zoo

    with pytest.raises(KAdapterError, match="is no language model"):
        language_model(Backbone(zoo.make("t5", tmp_path / "t5")))
