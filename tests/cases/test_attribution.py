"""Why: integrated gradients add up to the logit, attention is the one that the layer uses, a knocked out layer is one
whose output is its skip connection."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from kadapter import catalog
from kadapter.cases.attribution import attention, attribute, knocked_out, knockouts
from kadapter.cases.inference import batch, logits
from kadapter.errors import KAdapterError
from kadapter.model.adapter import build_adapter
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.model.knowledge_model import KnowledgeModel
from tests import tiny

LABELS = ["hates", "knows", "leads", "likes"]
SENTENCE = "[Ada] likes {tea} very much ."


@pytest.fixture(scope="module")
def model(tiny_folder):
    adapters = {"F": build_adapter(tiny.sizes(), seed=1), "L": build_adapter(tiny.sizes(plug_layers=[1, 4]), seed=2)}
    task = catalog.task("relation", labels=LABELS)
    return KnowledgeModel(Backbone(tiny_folder), adapters=adapters, task=task, seed=3).eval()


@pytest.fixture(scope="module")
def tokenizer(tiny_folder):
    return load_tokenizer(tiny_folder)


def test_attributions_add_up_and_are_the_gradients_integral(model, tokenizer):
    found = attribute(model, tokenizer, SENTENCE, "knows", steps=32)
    whole = logits(model, tokenizer, [SENTENCE])[0, 1].item()
    assert found.logit == pytest.approx(whole, abs=1e-5)
    assert abs(found.gap) < 0.02 * max(1.0, abs(found.logit - found.masked))
    assert found.tokens[:3] == ["[CLS]", "@", "ada"] and found.scores[0] == found.scores[-1] == 0  # never masked
    # the same integral by a plain sum over the path's midpoints
    own = batch(model, tokenizer, [SENTENCE])
    ids = own.pop("input_ids")
    masked = torch.where(torch.isin(ids, torch.tensor(tokenizer.all_special_ids)), ids, tokenizer.mask_token_id)
    embed = model.backbone.model.get_input_embeddings()
    start, end = embed(masked).detach(), embed(ids).detach()
    total = torch.zeros_like(end)
    for step in range(100):
        point = (start + (step + 0.5) / 100 * (end - start)).requires_grad_()
        model(inputs_embeds=point, **own).logits[0, 1].backward(inputs=[point])
        total += point.grad / 100
    np.testing.assert_allclose(found.scores, ((end - start) * total).sum(-1)[0], atol=2e-3)


def test_the_adapters_share_in_a_tokens_attribution_goes_with_it(model, tokenizer):
    whole = attribute(model, tokenizer, SENTENCE, "likes")
    with model.only():
        alone = attribute(model, tokenizer, SENTENCE, "likes")
    assert alone.tokens == whole.tokens and not np.allclose(alone.scores, whole.scores, atol=1e-3)


def test_attention_is_what_the_layer_attends_with(model, tokenizer):
    tokens, weights = attention(model, tokenizer, SENTENCE, "F")
    sizes = tiny.sizes()
    assert weights.shape == (len(sizes.plug_layers), sizes.layers, sizes.heads, len(tokens), len(tokens))
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
    first = model.adapters["F"].layers[0]
    own = batch(model, tokenizer, [SENTENCE])
    with torch.no_grad():
        state = model.backbone.hidden_states(own["input_ids"], own["attention_mask"], state_indices=[0])[0]
        layer, x = first.transformer[0], first.down(state)
        q, k, v = (p(x).unflatten(-1, (layer.heads, -1)).transpose(1, 2) for p in (layer.query, layer.key, layer.value))
        fused = F.scaled_dot_product_attention(q, k, v)[0]
    np.testing.assert_allclose(torch.tensor(weights[0, 0]) @ v[0], fused, atol=1e-5)


def test_a_knocked_out_layer_is_one_whose_up_projection_is_zero(model, tokenizer):
    moves = knockouts(model, tokenizer, SENTENCE)
    assert list(moves) == [("F", 0), ("F", 2), ("F", 3), ("L", 1), ("L", 4)]
    whole = logits(model, tokenizer, [SENTENCE])[0]
    layer = model.adapters["F"].layers[1]
    with torch.no_grad():
        saved = {name: p.clone() for name, p in layer.up.named_parameters()}
        for p in layer.up.parameters():
            p.zero_()
        without = logits(model, tokenizer, [SENTENCE])[0]
        for name, p in layer.up.named_parameters():
            p.copy_(saved[name])
    np.testing.assert_allclose(moves["F", 2], whole - without, atol=1e-5)
    assert np.abs(moves["F", 2]).max() > 1e-4
    with knocked_out(layer):
        assert not torch.allclose(logits(model, tokenizer, [SENTENCE])[0], whole)
    torch.testing.assert_close(logits(model, tokenizer, [SENTENCE])[0], whole)  # nothing is left of it


def test_mistakes_are_one_sentence(model, tokenizer):
    with pytest.raises(KAdapterError, match="unknown label of this model 'like': did you mean 'likes'"):
        attribute(model, tokenizer, SENTENCE, "like")
    with pytest.raises(KAdapterError, match="unknown plugged adapter 'G'"):
        attention(model, tokenizer, SENTENCE, "G")
    with pytest.raises(KAdapterError, match="only a model with a classification head"):
        attribute(KnowledgeModel(model.backbone), tokenizer, SENTENCE, "likes")
