"""The adapter's forward pass against the equations of Figure 2 written out, its sizes, and its saved form."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers.activations import ACT2FN

from kadapter.errors import KAdapterError
from kadapter.model.adapter import AdapterConfig, KnowledgeAdapter, build_adapter, count_parameters
from kadapter.model.config import ACTIVATIONS, default_plug_layers


def reference(adapter: KnowledgeAdapter, states: list[torch.Tensor], mask: torch.Tensor | None) -> torch.Tensor:
    """Figure 2 and a BERT layer as plain equations on the state dict: no module of the project, no fused attention."""
    c, w = adapter.config, adapter.state_dict()

    def linear(x, name):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(x, name):
        mean = x.mean(-1, keepdim=True)
        variance = ((x - mean) ** 2).mean(-1, keepdim=True)
        return (x - mean) / torch.sqrt(variance + c.layer_norm_eps) * w[f"{name}.weight"] + w[f"{name}.bias"]

    def gelu(x):
        return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))

    former = torch.zeros_like(states[0])
    for k, state in enumerate(states):
        name = f"layers.{k}"
        skip = state + former
        x = linear(torch.cat([state, former], -1) if c.combine == "concat" and k else skip, f"{name}.down")
        for j in range(c.layers):
            part = f"{name}.transformer.{j}"
            heads = []
            size = c.width // c.heads
            for h in range(c.heads):
                q, key, v = (
                    linear(x, f"{part}.{n}")[..., h * size : (h + 1) * size] for n in ("query", "key", "value")
                )
                scores = q @ key.transpose(1, 2) / math.sqrt(size)
                if mask is not None and c.mask_padding:
                    scores = scores.masked_fill(mask[:, None, :] == 0, -torch.inf)
                heads.append(torch.softmax(scores, -1) @ v)
            x = norm(x + linear(torch.cat(heads, -1), f"{part}.attention_output"), f"{part}.attention_norm")
            x = norm(x + linear(gelu(linear(x, f"{part}.intermediate")), f"{part}.output"), f"{part}.output_norm")
        former = skip + linear(x, f"{name}.up")
    return former


def shaken(config: AdapterConfig) -> KnowledgeAdapter:
    """An adapter whose every weight matters: biases and norms moved off their initial values."""
    adapter = build_adapter(config)
    with torch.no_grad():
        for p in adapter.parameters():
            p.add_(torch.randn(p.shape) * 0.1)
    return adapter.eval()


@pytest.mark.parametrize("combine", ["add", "concat"])
@pytest.mark.parametrize("mask_padding", [True, False])
@settings(max_examples=8, deadline=None)
@given(batch=st.integers(1, 3), tokens=st.integers(1, 7), data=st.data())
def test_forward_is_the_published_equations(combine, mask_padding, batch, tokens, data):
    torch.manual_seed(batch * 10 + tokens)
    adapter = shaken(AdapterConfig(12, (0, 1, 4), 8, 2, 2, 10, combine=combine, mask_padding=mask_padding))
    lengths = [data.draw(st.integers(1, tokens)) for _ in range(batch)]
    mask = (torch.arange(tokens) < torch.tensor(lengths)[:, None]).long()
    states = torch.randn(3, batch, tokens, 12)
    expected = reference(adapter, list(states), mask)
    torch.testing.assert_close(adapter(states, mask), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("combine", ["add", "concat"])
def test_gradients_are_those_of_the_equations(combine):
    torch.manual_seed(1)
    adapter = shaken(AdapterConfig(12, (0, 2), 8, 1, 2, 10, combine=combine))
    states, mask = torch.randn(2, 2, 5, 12), torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    weight = torch.randn(2, 5, 12)
    (adapter(states, mask) * weight).sum().backward()
    own = {n: p.grad.clone() for n, p in adapter.named_parameters()}
    copy = {n: p.detach().clone().requires_grad_() for n, p in adapter.named_parameters()}

    class View:  # the reference reads weights through state_dict()
        config = adapter.config

        def state_dict(self):
            return copy

    (reference(View(), list(states), mask) * weight).sum().backward()
    for name, tensor in copy.items():
        torch.testing.assert_close(own[name], tensor.grad, rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("combine", ["add", "concat"])
def test_padding_changes_nothing(combine):
    torch.manual_seed(2)
    adapter = shaken(AdapterConfig(12, (0, 1), 8, 2, 2, 10, combine=combine))
    states = torch.randn(2, 1, 4, 12)
    padded = torch.cat([states, torch.randn(2, 1, 5, 12) * 100], dim=2)
    mask = torch.tensor([[1] * 4 + [0] * 5])
    alone = adapter(states, torch.ones(1, 4, dtype=torch.long))
    torch.testing.assert_close(adapter(padded, mask)[:, :4], alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("normalize", ["none", "rms"])
def test_no_later_token_changes_an_earlier_output(normalize):
    torch.manual_seed(4)
    adapter = shaken(AdapterConfig(12, (0, 1), 8, 2, 2, 10, causal=True, normalize=normalize))
    states = torch.randn(2, 2, 6, 12)
    mask = torch.tensor([[1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1]])  # padding on the left
    whole = adapter(states, mask)
    assert whole.isfinite().all()
    for tokens in range(3, 6):
        changed = states.clone()
        changed[:, :, tokens:] = 7.0
        torch.testing.assert_close(adapter(changed, mask)[:, :tokens], whole[:, :tokens], rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(
            adapter(states[:, :, :tokens], mask[:, :tokens]), whole[:, :tokens], rtol=1e-5, atol=1e-5
        )
    torch.testing.assert_close(adapter(states[:, 1:, 2:], mask[1:, 2:]), whole[1:, 2:], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(adapter(states[:, :1]), whole[:1], rtol=1e-5, atol=1e-5)
    open_to_all = KnowledgeAdapter(AdapterConfig(12, (0, 1), 8, 2, 2, 10, normalize=normalize)).eval()
    open_to_all.load_state_dict(adapter.state_dict())
    assert not torch.allclose(open_to_all(states, mask)[0, 0], whole[0, 0], atol=1e-3)


def test_normalised_states_are_those_of_root_mean_square_one():
    torch.manual_seed(5)
    plain = shaken(AdapterConfig(12, (0, 1), 8, 1, 2, 10))
    normed = KnowledgeAdapter(AdapterConfig(12, (0, 1), 8, 1, 2, 10, normalize="rms")).eval()
    normed.load_state_dict(plain.state_dict())
    states = torch.randn(2, 1, 4, 12)
    states[:, :, 0] *= 3000.0  # the first token of a decoder that normalises before each layer
    by_hand = states / (states**2).mean(-1, keepdim=True).sqrt()
    torch.testing.assert_close(normed(states), plain(by_hand), rtol=1e-4, atol=1e-4)
    assert normed(states).abs().max() < 20 and plain(states).abs().max() > 3000


def test_official_behaviour_attends_to_padding():
    torch.manual_seed(3)
    adapter = shaken(AdapterConfig(12, (0,), 8, 1, 2, 10, mask_padding=False))
    states = torch.randn(1, 1, 6, 12)
    mask = torch.tensor([[1, 1, 1, 0, 0, 0]])
    assert not torch.allclose(adapter(states, mask)[:, :3], adapter(states[:, :, :3], mask[:, :3]), atol=1e-4)


def test_parameter_counts_of_roberta_large():
    """Ledger row 5; nothing of that size is allocated."""
    official = AdapterConfig(hidden_size=1024, combine="add")
    assert count_parameters(official) == 47_251_200
    with torch.device("meta"):
        adapter = KnowledgeAdapter(official)
    assert sum(p.numel() for layer in adapter.layers for p in layer.transformer.parameters()) == 42_527_232
    # concat widens the down-projection of every layer but the first by H inputs
    assert count_parameters(AdapterConfig(hidden_size=1024, combine="concat")) == 47_251_200 + 2 * 1024 * 768


def test_head_sizes_of_roberta_large():
    """Ledger row 5: with com_dense and head, 51,888,302 for 430 relations and 54,665,024 for 64 positions."""
    from kadapter import catalog
    from kadapter.model.fusion import Fusion

    def count(module: nn.Module) -> int:
        return sum(p.numel() for p in module.parameters())

    with torch.device("meta"):
        fusion = Fusion("project", 1024, 1)
        relation = catalog.task("relation", labels=[f"P{i}" for i in range(430)]).head(fusion.width, 1024)
        dependency = catalog.task("dependency", max_length=64).head(fusion.width, 1024)
    assert 47_251_200 + count(fusion) + count(relation) == 51_888_302
    assert 47_251_200 + count(fusion) + count(dependency) == 54_665_024


def test_published_initialisation():
    adapter = build_adapter(AdapterConfig(hidden_size=256, plug_layers=(0, 1), width=128, heads=4, inner=512), seed=4)
    for layer in adapter.layers:
        for projection in (layer.down, layer.up):
            assert projection.weight.std().item() == pytest.approx(2e-4, rel=0.05)
            assert not projection.bias.any()
        # torch's own initialisation of a Linear is uniform within 1/sqrt(inputs)
        inner = layer.transformer[0].intermediate.weight
        assert inner.abs().max().item() == pytest.approx(1 / math.sqrt(128), rel=0.05)
    same, other = build_adapter(adapter.config, seed=4), build_adapter(adapter.config, seed=5)
    assert torch.equal(same.layers[0].down.weight, adapter.layers[0].down.weight)
    assert not torch.equal(other.layers[0].down.weight, adapter.layers[0].down.weight)


def test_an_untrained_adapter_adds_up_its_states():
    """Ledger row 1: with N(0, 2e-4) projections the output is about the sum of the states."""
    adapter = build_adapter(AdapterConfig(64, (0, 1, 2), 32, 1, 2, 64)).eval()
    states = torch.randn(3, 2, 5, 64)
    torch.testing.assert_close(adapter(states), states.sum(0), atol=0.02, rtol=0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"combine": "sum"}, "unknown combine 'sum'.*known: add, concat"),
        ({"widht": 4}, "unknown adapter setting 'widht': did you mean 'width'"),
        ({"width": 10, "heads": 4}, "width 10 is not a multiple of its 4 attention heads"),
        ({"plug_layers": [3, 1]}, r"plug_layers \[3, 1\]: expected at least one index, ascending"),
        ({"plug_layers": []}, r"plug_layers: found \[\]; expected a list of at least 1, each"),
        ({"activation": "gulu"}, "unknown activation 'gulu': did you mean 'gelu'"),
        ({"width": "abc"}, "adapter setting width: found 'abc'; expected a whole number from 1 to 65,536"),
        ({"width": 0}, "adapter setting width: found 0; expected a whole number from 1 to 65,536"),
        ({"width": 1e9}, "adapter setting width: found 1000000000.0; expected a whole number"),
        ({"width": 1_000_000_000}, "width: found 1000000000; expected a whole number from 1 to 65,536"),
        ({"width": True}, "width: found True; expected a whole number"),
        ({"layers": -1}, "layers: found -1; expected a whole number from 1 to 128"),
        ({"layers": 10_000_000}, "layers: found 10000000; expected a whole number from 1 to 128"),
        ({"heads": 0}, "heads: found 0; expected a whole number from 1 to 1,024"),
        ({"dropout": 2}, "dropout: found 2; expected a number from 0 to below 1"),
        ({"dropout": float("nan")}, "dropout: found nan; expected a number from 0 to below 1"),
        ({"init_std": float("inf")}, "init_std: found inf; expected a number"),
        ({"plug_layers": 3}, "plug_layers: found 3; expected a list"),
        ({"plug_layers": [True]}, r"plug_layers\[0\]: found True; expected a whole number from 0 to 1,000"),
        ({"plug_layers": [-1]}, r"plug_layers\[0\]: found -1; expected a whole number"),
        ({"plug_layers": list(range(1001)), "layers": 3}, "of 3,003 transformer layers .*expected at most 2,048"),
        ({"width": 65_536, "heads": 1, "layers": 100}, "and 5,274,761,428,992 parameters: expected at most"),
    ],
)
def test_bad_sizes_are_refused(values, message):
    with pytest.raises(KAdapterError, match=message) as error:
        AdapterConfig.from_dict({"hidden_size": 12, **values})
    assert "\n" not in str(error.value) and len(str(error.value)) < 400
    with pytest.raises((KAdapterError, TypeError)):  # a name that is no parameter is Python's to refuse
        AdapterConfig(**{"hidden_size": 12, **values})


def test_activations_are_those_of_transformers():
    assert set(ACTIVATIONS) <= set(ACT2FN)


def test_wrong_number_of_states_is_refused():
    adapter = build_adapter(AdapterConfig(12, (0, 1), 8, 1, 2, 10))
    with pytest.raises(KAdapterError, match=r"plug layers \[0, 1\] was given 3 hidden states"):
        adapter(torch.zeros(3, 1, 2, 12))


def test_default_plug_layers_scale_with_depth():
    assert default_plug_layers(24) == [0, 11, 22]  # the official scripts
    assert default_plug_layers(12) == [0, 5, 10]
    assert default_plug_layers(6) == [0, 2, 4]
    assert default_plug_layers(1) == [0]
