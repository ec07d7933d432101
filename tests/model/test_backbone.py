"""The frozen backbone: found, checked, frozen, and the same states as the Hugging Face model itself."""

import pytest
import torch
from transformers import AutoModel

from kadapter.errors import KAdapterError
from kadapter.model.backbone import Backbone, load_tokenizer
from tests import tiny


def test_hidden_states_are_those_of_the_model(tiny_folder):
    reference = AutoModel.from_pretrained(tiny_folder).eval()
    own = Backbone(tiny_folder)
    batch = load_tokenizer(tiny_folder)(
        ["One sentence .", "Another one that is longer ."], padding=True, return_tensors="pt"
    )
    inputs = {k: batch[k] for k in ("input_ids", "attention_mask")}
    with torch.no_grad():
        expected = reference(**inputs, output_hidden_states=True).hidden_states
    states = own.hidden_states(**inputs, state_indices=[0, 2, 4])
    for state, point in zip(states, (0, 2, 4), strict=True):
        assert torch.equal(state, expected[point])
    assert torch.equal(own.hidden_states(**inputs)[0], expected[-1])
    embedded = own.hidden_states(
        inputs_embeds=own.model.get_input_embeddings()(inputs["input_ids"]), attention_mask=inputs["attention_mask"]
    )
    torch.testing.assert_close(embedded[0], expected[-1])
    assert not states.requires_grad


def test_state_indices_out_of_range_are_refused(tiny_folder):
    own = Backbone(tiny_folder)
    with pytest.raises(KAdapterError, match=r"plug layer 5 is out of range: .* has hidden_states 0..4"):
        own.hidden_states(torch.tensor([[5]]), torch.tensor([[1]]), state_indices=[0, 5])


def test_the_fingerprint_sees_one_changed_bit(tiny_folder):
    own, again = Backbone(tiny_folder), Backbone(tiny_folder)
    assert own.fingerprint == again.fingerprint
    weight = next(again.parameters())
    with torch.no_grad():
        weight.view(-1)[3] = torch.nextafter(weight.view(-1)[3], torch.tensor(9.0))
    assert own.fingerprint != again.fingerprint


@pytest.mark.parametrize("fused", [True, False])
def test_the_fingerprint_sees_training(tiny_folder, fused):
    own = Backbone(tiny_folder)
    before = own.fingerprint
    weight = next(own.parameters()).requires_grad_()
    weight.grad = torch.ones_like(weight)
    torch.optim.AdamW([weight], fused=fused).step()
    after = own.fingerprint
    assert after != before
    weight.data[0, 0] += 1
    assert own.fingerprint != after


def test_a_name_that_is_nothing_is_one_sentence(tmp_path):
    with pytest.raises(
        KAdapterError, match="cannot load the model of backbone '.*nowhere'.*Expected 'minilm', 'smollm2', a folder"
    ):
        Backbone(str(tmp_path / "nowhere"))
    with pytest.raises(KAdapterError, match="cannot load the tokenizer of backbone"):
        load_tokenizer(str(tmp_path / "nowhere"))


def test_the_tiny_backbone_is_what_the_other_tests_think(tiny_folder):
    assert (Backbone(tiny_folder).depth, Backbone(tiny_folder).hidden_size) == (tiny.DEPTH, tiny.HIDDEN)


def test_it_is_loaded_as_from_pretrained_is_told(tiny_folder):
    half = Backbone(tiny_folder, dtype=torch.bfloat16, device_map={"": "cpu"})
    assert half.dtype == torch.bfloat16
    states = half.hidden_states(
        torch.tensor([[101, 7592, 102]]), torch.ones(1, 3, dtype=torch.long), state_indices=[0, 4]
    )
    assert states.dtype == torch.bfloat16 and states.shape == (2, 1, 3, tiny.HIDDEN)
