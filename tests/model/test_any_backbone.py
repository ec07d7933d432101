"""One behaviour, whatever the backbone: thirteen families with four kinds of tokenizer, built small and random here."""

import pytest
import torch

from kadapter import catalog
from kadapter.errors import KAdapterError
from kadapter.model.adapter import AdapterConfig, build_adapter
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.model.knowledge_model import KnowledgeModel
from kadapter.model.regimes import REGIMES
from kadapter.tasks.base import encode_marked
from kadapter.training.batches import encode
from kadapter.training.fit import Settings, fit
from tests import tiny, zoo

LABELS = ["hates", "knows", "leads", "likes"]


@pytest.fixture(scope="module", params=zoo.FAMILIES)
def family(request, tmp_path_factory):
    """(name, folder) of a saved backbone."""
    return request.param, zoo.make(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def folder(family):
    return family[1]


@pytest.fixture(scope="module")
def tokenizer(folder):
    return load_tokenizer(folder)


def task():
    return catalog.task("relation", labels=LABELS, max_length=48)


@pytest.fixture(scope="module")
def encoded(tokenizer):
    return encode(task(), tokenizer, tiny.relations(12))


def adapter(backbone, seed=0):
    return build_adapter(AdapterConfig.for_backbone(backbone, layers=1, init_std=0.05), seed)


def batch_of(encoded):
    return encoded.__getitems__(range(6))


def test_hidden_states_are_found(folder, encoded):
    backbone = Backbone(folder)
    assert (backbone.hidden_size, backbone.depth) == (zoo.HIDDEN, zoo.DEPTH)
    batch = batch_of(encoded)
    inputs = batch["input_ids"], batch["attention_mask"]
    states = backbone.hidden_states(*inputs, state_indices=range(zoo.DEPTH + 1))
    assert states.shape == (zoo.DEPTH + 1, *batch["input_ids"].shape, zoo.HIDDEN) and not states.requires_grad
    with torch.no_grad():
        last = backbone.model(input_ids=inputs[0], attention_mask=inputs[1]).last_hidden_state
    real = batch["attention_mask"].bool()
    torch.testing.assert_close(states[-1][real], last[real], rtol=1e-5, atol=1e-5)
    for former, later in zip(states, states[1:], strict=False):
        assert not torch.allclose(former, later, atol=1e-3)
    # point 0 knows nothing of the neighbours: a token's vector depends on itself and its place alone
    changed = batch["input_ids"].clone()
    changed[:, 2] = changed[:, 1]
    other = backbone.hidden_states(changed, inputs[1], state_indices=[0])[0]
    torch.testing.assert_close(other[:, 3:], states[0][:, 3:], rtol=1e-5, atol=1e-6)


def test_an_adapter_is_causal_where_the_backbone_is(family):
    name, folder = family
    backbone = Backbone(folder)
    assert backbone.causal == (name in ("gpt2", "llama", "qwen2"))
    config = AdapterConfig.for_backbone(backbone)
    assert (config.causal, config.normalize) == ((True, "rms") if backbone.causal else (False, "none"))
    assert AdapterConfig.for_backbone(backbone, causal=False, normalize="none").causal is False


def test_defaults_scale_with_the_backbone(folder):
    config = AdapterConfig.for_backbone(Backbone(folder))
    assert (config.hidden_size, config.plug_layers, config.width, config.heads) == (zoo.HIDDEN, (0, 1, 2), 24, 1)


def test_markers_and_special_tokens(family, tokenizer):
    """The token read at a marker is the marker's, the mention's tokens are the mention's, whatever stands before."""
    name, _ = family
    texts = ["Arbon saw Brill", "They saw Zürich , (Coxon) and café .", "a1,234b knows Thing"]
    spans = [((0, 5), (10, 15)), ((19, 24), (9, 15)), ((1, 6), (14, 19))]
    mentions = [[(*s, "@", "@"), (*o, "#", "#")] for s, o in spans]
    ids, found = encode_marked(tokenizer, texts, mentions, 48)
    for text, row, pair, (subject, obj) in zip(texts, ids, found, spans, strict=True):
        special = tokenizer.get_special_tokens_mask(row, already_has_special_tokens=True)
        assert bool(special[0]) == zoo.FAMILIES[name].first_special
        for (open_, end, first, last), (a, b), marker in zip(pair, (subject, obj), "@#", strict=True):
            assert not any(special[open_:last])
            shown = [tokenizer.decode([i]).strip() for i in row[open_:end]]
            assert "".join(shown) == marker and end <= first
            mention = tokenizer.decode(row[first:last]).replace(" ", "")
            bare = tokenizer.backend_tokenizer.normalizer  # WordPiece lowers and strips accents
            wanted = text[a:b] if bare is None else bare.normalize_str(text[a:b])
            assert mention == wanted.replace(" ", ""), (text, mention)
            closing = tokenizer.decode(row[last : last + 2]).strip()
            assert closing.startswith(marker)


def test_a_root_is_told_from_the_first_word(family, tokenizer):
    """A root points at the special token that begins a sequence; where there is none, at itself."""
    row = encode(catalog.task("dependency", max_length=32), tokenizer, tiny.trees(2)).columns
    heads, words = (row[c].rows() for c in ("heads", "words"))
    tree = [2, 0, 2]  # Dogs bark loudly
    gold = [list(h) for h in heads if len(h) == 3][0]
    place = [list(w) for w in words if len(w) == 3][0]
    root = 0 if zoo.FAMILIES[family[0]].first_special else place[1]
    assert gold == [place[1], root, place[1]] and tree.index(0) == 1
    assert len(set(place)) == 3 and (0 in place) != zoo.FAMILIES[family[0]].first_special


def test_left_and_right_padding_are_the_same(folder, encoded):
    """Backbone and adapter give the same for a text whether its padding stands left or right."""
    backbone = Backbone(folder)
    model = KnowledgeModel(backbone, adapters={"F": adapter(backbone)}).eval()
    batch = batch_of(encoded)
    ids, mask = batch["input_ids"], batch["attention_mask"]
    assert mask.sum(1).min() < mask.shape[1], "no row is padded"
    shift = [int(n) for n in mask.shape[1] - mask.sum(1)]
    left_ids = torch.stack([row.roll(n) for row, n in zip(ids, shift, strict=True)])
    left_mask = torch.stack([row.roll(n) for row, n in zip(mask, shift, strict=True)])
    with torch.no_grad():
        right = model(input_ids=ids, attention_mask=mask).last_hidden_state[mask.bool()]
        left = model(input_ids=left_ids, attention_mask=left_mask).last_hidden_state[left_mask.bool()]
        alone = model(input_ids=ids[:1, : mask[0].sum()]).last_hidden_state[0]
    torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(right[: len(alone)], alone, rtol=1e-4, atol=1e-5)


def test_saves_and_loads_equal(folder, encoded, tmp_path):
    for regime in ("frozen", "full", "houlsby", "lora"):
        backbone = Backbone(folder)
        model = KnowledgeModel(backbone, "project", {"F": adapter(backbone)}, task()).train_only(regime)
        with torch.no_grad():
            for p in backbone.parameters():
                p.mul_(1.01 if p.requires_grad else 1.0)
        batch = batch_of(encoded)
        model.eval().save_pretrained(tmp_path / regime)
        assert torch.equal(KnowledgeModel.from_pretrained(tmp_path / regime)(**batch).logits, model(**batch).logits)


@pytest.mark.parametrize("regime", sorted(REGIMES.keys() - {"mapping"}))
def test_gradients_exist_exactly_where_the_regime_says(folder, encoded, regime):
    backbone = Backbone(folder)
    if regime == "bitfit" and not any(n.endswith(".bias") for n, _ in backbone.named_parameters()):
        with pytest.raises(KAdapterError, match="has no bias that bitfit could train: expected houlsby, lora or full"):
            KnowledgeModel(backbone).train_only(regime)
        return
    model = KnowledgeModel(backbone, "concat", {"F": adapter(backbone)}, task()).train_only(regime).train()
    model(**batch_of(encoded)).loss.backward()
    reached = {n for n, p in model.named_parameters() if p.grad is not None}
    assert reached == {n for n, _ in model.named_parameters() if tiny.in_part(n, REGIMES[regime])}
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_frozen_stays_frozen(folder, encoded, tmp_path):
    backbone = Backbone(folder)
    before = backbone.fingerprint
    model = KnowledgeModel(backbone, adapters={"F": adapter(backbone)}, task=task())
    start = {n: p.clone() for n, p in model.adapters.named_parameters()}
    settings = Settings(regime="adapter", epochs=1, batch_size=4, bf16=False, store=False)
    fit(model, encoded, None, settings, tmp_path, progress=False)
    assert backbone.fingerprint == before
    # Where attention cancels a key's bias its gradient is 0 up to rounding; every weight matrix moved.
    assert all(not torch.equal(p, start[n]) for n, p in model.adapters.named_parameters() if p.ndim > 1)


def test_autocast_runs(folder, encoded):
    backbone = Backbone(folder)
    model = KnowledgeModel(backbone, adapters={"F": adapter(backbone)}, task=task()).train_only("full").train()
    batch = batch_of(encoded)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(**batch)
    output.loss.backward()
    assert torch.isfinite(output.loss) and output.loss.dtype == torch.float32
    model.eval()
    exact = model(**batch).logits
    with torch.autocast("cpu", dtype=torch.bfloat16):
        near = model(**batch).logits
    torch.testing.assert_close(near.float(), exact, rtol=0.1, atol=0.1)


def test_half_precision_weights_run(folder, encoded):
    backbone = Backbone(folder)
    model = KnowledgeModel(backbone, adapters={"F": adapter(backbone)}, task=task()).eval()
    batch = batch_of(encoded)
    exact = model(**batch)
    half = model.to(dtype=torch.bfloat16)(**batch)
    assert half.last_hidden_state.dtype == half.logits.dtype == torch.bfloat16
    torch.testing.assert_close(half.logits.float(), exact.logits, rtol=0.1, atol=0.1)
