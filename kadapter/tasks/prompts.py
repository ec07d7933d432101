"""Texts with [MASK] as a language model reads them: a mask token for each piece of an answer (masked), or the text left
of it and the answer's pieces one after the other (causal)."""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedTokenizerBase

from kadapter.errors import KAdapterError
from kadapter.formats.lama import MASK
from kadapter.tasks.base import IGNORE, crop

MASKED_SHARE = 0.15  # of a plain text's tokens, which a masked model predicts (Devlin et al., 2019)


@dataclass(frozen=True)
class Prompt:
    """A text in tokens; `mask` is the place of its mask token, or of the token to be predicted, None in plain text."""

    ids: list[int]
    mask: int | None


@dataclass(frozen=True)
class Reading:
    """What a model reads at once.

    Attributes:
        ids: its tokens.
        asked: the positions that are scored.
        labels: the token to be found at each; -100 where there is none.
        pieces: of each candidate that is scored here the pieces, one candidate after the other.
        order: the numbers of those candidates.
    """

    ids: list[int]
    asked: list[int]
    labels: list[int]
    pieces: list[int]
    order: list[int]


class Prompts:
    """Makes tokens of texts, for a tokenizer and a reading (`masked` or `causal`); longest first cut to `max_length`.

    Raises KAdapterError for `masked` and a tokenizer without a mask token.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, reading: str, max_length: int) -> None:
        if reading == "masked" and tokenizer.mask_token_id is None:
            raise KAdapterError(
                f"the tokenizer of {tokenizer.name_or_path} has no mask token: a causal model is asked with "
                "reading='causal'"
            )
        self.tokenizer, self.masked, self.max_length = tokenizer, reading == "masked", max_length
        self._pieces: dict[str, list[int]] = {}

    def read(self, texts: Sequence[str], names: Sequence[object]) -> list[Prompt]:
        """A prompt for each text. Raises KAdapterError, with the text's name, for one with several [MASK], and for a
        causal model one with nothing before [MASK]."""
        written = []
        for text, name in zip(texts, names, strict=True):
            count = text.count(MASK)
            if count > 1:
                raise KAdapterError(f"record {name}: found {count} {MASK}; expected one, or none in plain text")
            if count and not self.masked:
                text = text.split(MASK)[0].rstrip()
                if not text:
                    raise KAdapterError(f"record {name}: nothing stands before {MASK}, where a causal model reads")
            written.append(text.replace(MASK, self.tokenizer.mask_token) if self.masked else text)
        encoding = self.tokenizer(written, return_attention_mask=False, return_special_tokens_mask=True, verbose=False)
        prompts = []
        for text, ids, special in zip(texts, encoding["input_ids"], encoding["special_tokens_mask"], strict=True):
            if not self.masked:  # an end that the tokenizer adds is not read on from
                ids = ids[: 1 + max((i for i, s in enumerate(special) if not s), default=len(ids) - 1)]
            mask = None
            if MASK in text:
                mask = ids.index(self.tokenizer.mask_token_id) if self.masked else len(ids)
            prompts.append(Prompt(list(ids), mask))
        return prompts

    def pieces(self, answers: Iterable[str]) -> list[list[int]]:
        """The tokens of each answer as they follow a space. Raises KAdapterError for one that has none."""
        answers = list(answers)
        new = [a for a in dict.fromkeys(answers) if a not in self._pieces]
        for answer, ids in zip(new, answer_pieces(self.tokenizer, new), strict=True):
            if not ids:
                raise KAdapterError(f"the answer {answer!r} has no tokens; expected a word")
            self._pieces[answer] = ids
        return [self._pieces[a] for a in answers]

    def asked(self, prompt: Prompt, answers: Sequence[str], right: int) -> list[Reading]:
        """The sequences that score these answers: a masked model's answers of equal length share one, a causal model's
        of one piece. `labels` stand in that of the right answer alone; "" asks without an answer."""
        shared: dict[tuple, Reading] = {}
        pieces = self.pieces(a for a in answers if a)
        for number, answer in enumerate(answers):
            ids = pieces.pop(0) if answer else [IGNORE]
            key = (len(ids),) if self.masked else tuple(ids[:-1])
            if key not in shared:
                shared[key] = Reading(*self._sequence(prompt, ids), [IGNORE] * len(ids), [], [])
            if number == right:
                shared[key].labels[:] = ids
            shared[key].pieces.extend(ids)
            shared[key].order.append(number)
        return list(shared.values())

    def _sequence(self, prompt: Prompt, pieces: list[int]) -> tuple[list[int], list[int]]:
        """Tokens, and the positions at which an answer of these pieces is scored."""
        ids, at, count = prompt.ids, prompt.mask, len(pieces)
        if at is None or not self.masked:
            ids = (ids + pieces[:-1])[-self.max_length :]
            return ids, list(range(len(ids) - count, len(ids)))
        ids = ids[:at] + [self.tokenizer.mask_token_id] * count + ids[at + 1 :]
        kept = self._kept(ids, at, count)
        first = kept.index(at)
        return [ids[i] for i in kept], list(range(first, first + count))

    def _kept(self, ids: list[int], at: int, count: int) -> list[int]:
        special = self._special(ids)
        body = [i for i, s in enumerate(special) if not s or at <= i < at + count]
        inside = [body.index(at), body.index(at) + count]
        chosen = crop(len(body), [(inside[0], inside[1])], self.max_length - (len(ids) - len(body)))
        kept = {body[i] for i in chosen}
        return [i for i in range(len(ids)) if i in kept or (special[i] and not at <= i < at + count)]

    def _special(self, ids: list[int]) -> list[int]:
        return self.tokenizer.get_special_tokens_mask(ids, already_has_special_tokens=True)

    def plain(self, prompt: Prompt) -> Reading:
        """The sequence that scores a text itself."""
        ids = prompt.ids[: self.max_length]
        if not self.masked:
            return Reading(ids, list(range(len(ids) - 1)), ids[1:], [], [])
        body = [i for i, s in enumerate(self._special(ids)) if not s]
        rng = np.random.default_rng(zlib.crc32(np.asarray(ids, dtype=np.int64).tobytes()))  # the same in every process
        places = sorted(rng.permutation(body)[: max(1, round(MASKED_SHARE * len(body)))].tolist()) if body else []
        return self._hiding(ids, places)

    def each_token(self, prompt: Prompt) -> Iterator[Reading]:
        """The sequences that score every token of a text: one for a causal model, one a token for a masked one."""
        if not self.masked:
            yield self.plain(prompt)
            return
        ids = prompt.ids[: self.max_length]
        for place, special in enumerate(self._special(ids)):
            if not special:
                yield self._hiding(ids, [place])

    def _hiding(self, ids: list[int], places: list[int]) -> Reading:
        hidden = [self.tokenizer.mask_token_id if i in places else id for i, id in enumerate(ids)]
        return Reading(hidden, places, [ids[i] for i in places], [], [])


def answer_pieces(tokenizer: PreTrainedTokenizerBase, answers: Sequence[str]) -> list[list[int]]:
    """The tokens of each answer as they follow a space: " Paris" in RoBERTa's and GPT's tokens, "Paris" in BERT's."""
    if not answers:
        return []
    found = []
    for text in (" {}", "{}"):
        texts = [text.format(answer.strip()) for answer in answers]
        found.append(
            tokenizer(texts, add_special_tokens=False, return_attention_mask=False, verbose=False)["input_ids"]
        )
    # a space that is a token of its own belongs to the text before
    return [
        bare if spaced and not str(tokenizer.decode(spaced[:1])).strip() and len(spaced) > len(bare) else spaced
        for spaced, bare in zip(*found, strict=True)
    ]


def word_ids(tokenizer: PreTrainedTokenizerBase, words: Sequence[str]) -> dict[str, int]:
    """The words that are one token where an answer stands, after a text and a space, and come back from it, in their
    order: word -> token. A digit whose space is a token of its own (SmolLM2's " 6") is none."""
    normalizer = tokenizer.backend_tokenizer.normalizer
    before = tokenizer("a", add_special_tokens=False)["input_ids"]
    found = {}
    for word, ids in zip(words, answer_pieces(tokenizer, words), strict=True):
        if len(ids) == 1 and ids[0] != tokenizer.unk_token_id:
            said = str(tokenizer.decode(ids)).strip()
            if said != word and (normalizer is None or said != normalizer.normalize_str(word).strip()):
                continue
            if str(tokenizer.decode([*before, *ids], clean_up_tokenization_spaces=False)).endswith(f" {said}"):
                found[word] = ids[0]
    return found
