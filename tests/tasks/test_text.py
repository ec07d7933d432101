"""A language head trained on text alone: whatever holds the text, all else stays, and then it can be asked."""

import pytest
import torch
from datasets import Dataset

from kadapter import catalog
from kadapter.errors import KAdapterError
from kadapter.knowledge.facts import plain
from kadapter.model.adapter import build_adapter
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.training.batches import encode
from kadapter.training.fit import Settings, fit
from kadapter.training.language import perplexity, token_log_probabilities
from kadapter.training.predict import predict
from tests import tiny

SENTENCES = {"plain": lambda: plain(["Dogs bark loudly", "The dog barked ."] * 15), "trees": tiny.trees}


@pytest.mark.parametrize("kind", SENTENCES)
def test_only_the_new_layer_learns_and_then_it_says_what_it_read(kind, tiny_folder, tmp_path):
    """What the K-Adapter authors did for LAMA, from plain text or from any sentences: here a treebank's words."""
    task, tokenizer, backbone = catalog.task("text"), load_tokenizer(tiny_folder), Backbone(tiny_folder)
    adapter = build_adapter(tiny.sizes(), 0)
    model = KnowledgeModel(backbone, "concat", {"F": adapter}, task)
    encoded = encode(task, tokenizer, SENTENCES[kind](), progress=False)
    kept = {name: tensor.clone() for name, tensor in adapter.state_dict().items()}
    before, fingerprint = predict(model, encoded), backbone.fingerprint
    settings = Settings("frozen", epochs=20, batch_size=8, learning_rate=2e-2, select="last")
    fit(model, encoded, None, settings, tmp_path, progress=False, cache=tmp_path)
    after = predict(model, encoded)
    assert after.metric.name == "perplexity" and after.scores["perplexity"] < before.scores["perplexity"] / 100
    assert backbone.fingerprint == fingerprint
    assert all(torch.equal(tensor, kept[name]) for name, tensor in adapter.state_dict().items())
    said = token_log_probabilities(model.eval(), tokenizer, ["The [MASK] barked ."])
    known = [tokenizer.convert_tokens_to_ids(word) for word in ("the", "dog", "barked", "bark", "dogs", "loudly", ".")]
    assert said[0].argmax() in known  # of 30,522 tokens


def test_the_layer_is_saved_with_its_model_and_read_again(tiny_folder, tmp_path):
    task, tokenizer = catalog.task("text"), load_tokenizer(tiny_folder)
    model = KnowledgeModel(Backbone(tiny_folder), "concat", {"F": build_adapter(tiny.sizes(), 0)}, task).eval()
    model.save_pretrained(tmp_path / "model")
    again = KnowledgeModel.from_pretrained(tmp_path / "model").eval()
    assert again.require_task().options() == task.options()
    texts = ["The dog barked loudly ."]
    assert perplexity(model, tokenizer, texts) == perplexity(again, tokenizer, texts)


def test_perplexity_is_that_of_the_places_that_are_hidden(tiny_folder):
    task, tokenizer = catalog.task("text"), load_tokenizer(tiny_folder)
    model = KnowledgeModel(Backbone(tiny_folder), "concat", task=task).eval()
    dataset = plain(["The dog barked loudly at the other dog ."])
    encoded = encode(task, tokenizer, dataset, progress=False)
    batch = encoded.__getitems__([0])
    with torch.no_grad():
        log = model(**{k: v for k, v in batch.items() if k not in ("group",)}).logits.log_softmax(-1)
    right = batch["labels"][batch["asked"] >= 0]
    expected = torch.exp(-log.gather(1, right[:, None]).mean())
    assert predict(model, encoded).scores["perplexity"] == pytest.approx(float(expected), rel=1e-4)


def test_text_with_a_mask_is_told(tiny_folder):
    rows = Dataset.from_dict({"id": ["1"], "text": ["a [MASK] here"]})
    with pytest.raises(KAdapterError, match=r"record 1: found \[MASK\]; expected plain text"):
        encode(catalog.task("text"), load_tokenizer(tiny_folder), rows, progress=False)
