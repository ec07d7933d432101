"""Every family of backbone in miniature: a random model of 4 layers with a tokenizer of its family's kind, trained
here."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoModel, PretrainedConfig, PreTrainedTokenizerFast

HIDDEN, DEPTH = 32, 4
CORPUS = [
    "They saw Arbon @ there # and Brill left Zürich @ before # June .",
    "The naïve dog barked loudly at Coxon , who wrote down 1,234 names .",
    "Person knows Thing ; Dunes hates a café near the old river @ # @ # .",
] * 4


def _wrap(tokenizer: Tokenizer, **special) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=False, **special)


def byte_level(prefix_space: bool, roberta: bool, bos: bool = False) -> PreTrainedTokenizerFast:
    """Byte-level BPE: RoBERTa's with <s> and </s>, GPT-2's with nothing, Llama-3's with a beginning only."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space, trim_offsets=True)
    tokenizer.decoder = decoders.ByteLevel()
    names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"] if roberta else ["<|endoftext|>"] + ["<|begin|>"] * bos
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=names,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    if roberta:
        tokenizer.post_processor = processors.RobertaProcessing(
            ("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=prefix_space
        )
        return _wrap(tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>")
    if bos:
        template = processors.TemplateProcessing(single="<|begin|> $A", special_tokens=[("<|begin|>", 1)])
        tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
        return _wrap(tokenizer, bos_token="<|begin|>", eos_token="<|endoftext|>")
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return _wrap(tokenizer, eos_token="<|endoftext|>")


def word_piece(cls: str = "[CLS]", pad: str = "[PAD]", sep: str = "[SEP]", pad_id: int = 0) -> PreTrainedTokenizerFast:
    """BERT's: lower case, accents stripped, [CLS] and [SEP]; MPNet's with RoBERTa's names and its padding, 1 by law."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    names = [pad, cls, sep, "[UNK]"] if pad_id == 0 else [cls, pad, sep, "[UNK]"]
    tokenizer.train_from_iterator(
        CORPUS, trainers.WordPieceTrainer(vocab_size=200, special_tokens=names, show_progress=False)
    )
    tokenizer.post_processor = processors.BertProcessing((sep, 2), (cls, names.index(cls)))
    return _wrap(tokenizer, pad_token=pad, unk_token="[UNK]", cls_token=cls, sep_token=sep)


def sentence_piece(first: str | None, last: str) -> PreTrainedTokenizerFast:
    """Unigram over words that begin with a lower bar, as SentencePiece: XLM-R's with <s>, T5's with only an end."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    names = ["<pad>", "<unk>", last, *([first] if first else [])]
    trainer = trainers.UnigramTrainer(vocab_size=120, special_tokens=names, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    ends = [(name, tokenizer.token_to_id(name)) for name in (first, last) if name]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}" if first else f"$A {last}", special_tokens=ends
    )
    more = {"bos_token": first} if first else {}
    return _wrap(tokenizer, pad_token="<pad>", unk_token="<unk>", eos_token=last, **more)


@dataclass(frozen=True)
class Family:
    """How one family is built: `config` takes the vocabulary's size and the padding's id."""

    config: Callable[[int, int], PretrainedConfig]
    tokenizer: Callable[[], PreTrainedTokenizerFast]
    first_special: bool = True  # whether a sequence begins with a special token


def _usual(name: str, **more) -> Callable[[int, int], PretrainedConfig]:
    """A configuration with BERT's names of sizes."""

    def build(vocabulary: int, pad: int) -> PretrainedConfig:
        sizes = {
            "hidden_size": HIDDEN,
            "num_hidden_layers": DEPTH,
            "num_attention_heads": 4,
            "intermediate_size": 48,
            "max_position_embeddings": 80,
        }
        return getattr(transformers, name)(vocab_size=vocabulary, pad_token_id=pad, **sizes | more)

    return build


def _distilbert(vocabulary: int, pad: int) -> PretrainedConfig:
    return transformers.DistilBertConfig(
        vocab_size=vocabulary, pad_token_id=pad, dim=HIDDEN, n_layers=DEPTH, n_heads=4, hidden_dim=48
    )


def _gpt2(vocabulary: int, pad: int) -> PretrainedConfig:
    return transformers.GPT2Config(
        vocab_size=vocabulary, n_embd=HIDDEN, n_layer=DEPTH, n_head=4, n_positions=80, bos_token_id=0, eos_token_id=0
    )


def _t5(vocabulary: int, pad: int) -> PretrainedConfig:
    return transformers.T5Config(
        vocab_size=vocabulary,
        pad_token_id=pad,
        decoder_start_token_id=pad,
        d_model=HIDDEN,
        d_kv=8,
        d_ff=48,
        num_layers=DEPTH,
        num_decoder_layers=1,
        num_heads=4,
    )


_ROPE = {"bos_token_id": 0, "eos_token_id": 0, "num_key_value_heads": 2}
_MODERN = {
    "bos_token_id": 0,
    "eos_token_id": 2,
    "cls_token_id": 0,
    "sep_token_id": 2,
    "global_attn_every_n_layers": 2,
    "local_attention": 16,
}
_DEBERTA = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_biased_input": False}

FAMILIES = {
    "roberta": Family(_usual("RobertaConfig"), lambda: byte_level(False, True)),
    "bert": Family(_usual("BertConfig"), word_piece),
    "distilbert": Family(_distilbert, word_piece),
    "xlm-roberta": Family(_usual("XLMRobertaConfig"), lambda: sentence_piece("<s>", "</s>")),
    "electra": Family(_usual("ElectraConfig", embedding_size=16), word_piece),
    "deberta-v2": Family(_usual("DebertaV2Config", **_DEBERTA), lambda: sentence_piece("[CLS]", "[SEP]")),
    "modernbert": Family(_usual("ModernBertConfig", **_MODERN), lambda: byte_level(True, True)),
    "albert": Family(_usual("AlbertConfig", embedding_size=16), lambda: sentence_piece("[CLS]", "[SEP]")),
    "mpnet": Family(_usual("MPNetConfig"), lambda: word_piece("<s>", "<pad>", "</s>", 1)),
    "gpt2": Family(_gpt2, lambda: byte_level(False, False), first_special=False),
    "llama": Family(_usual("LlamaConfig", **_ROPE), lambda: byte_level(False, False, bos=True)),
    "qwen2": Family(_usual("Qwen2Config", **_ROPE), lambda: byte_level(False, False), first_special=False),
    "t5": Family(_t5, lambda: sentence_piece(None, "</s>"), first_special=False),
}


def make(family: str, folder: Path) -> Path:
    """Save a family's model and tokenizer."""
    torch.manual_seed(0)
    tokenizer = FAMILIES[family].tokenizer()
    pad = tokenizer.pad_token_id or 0
    model = AutoModel.from_config(FAMILIES[family].config(len(tokenizer), pad))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
