"""The word list among which an answer is looked for. A score belongs to its list: another list gives another score, so
that its name and size stand beside every number (Petroni et al., 2019)."""

from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from kadapter.data.places import WORD_LISTS
from kadapter.errors import KAdapterError
from kadapter.tasks.prompts import word_ids

COMMON = "common_vocab_cased.txt"  # 21,018 words of Transformer-XL, ELMo and BERT; RoBERTa and GPT did not go into it


@dataclass(frozen=True)
class WordList:
    """Candidates of a probe.

    Attributes:
        name: of the file.
        ids: word -> token, of those that are one token for this tokenizer; of a relation's objects -> place.
        size: words in the file.
    """

    name: str
    ids: dict[str, int]
    size: int

    def __len__(self) -> int:
        return len(self.ids)


def word_list(tokenizer: PreTrainedTokenizerBase, named: str, folder: Path | None) -> WordList:
    """The words of a file, one a line.

    Args:
        named: a path, or the name of a list in the data folder.
        folder: the data folder.

    Raises KAdapterError for a list that is not there or has no word that is one token.
    """
    path = Path(named)
    if not path.is_file() and folder is not None:
        path = folder / WORD_LISTS / named
    try:
        words = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise KAdapterError(
            f"word list {named}: {error}; expected a text file with a word a line, or a name in {WORD_LISTS} of the "
            "data folder"
        ) from None
    words = list(dict.fromkeys(word for word in words if word))
    ids = word_ids(tokenizer, words)
    if not ids:
        raise KAdapterError(
            f"word list {path}: none of its {len(words)} words is one token of {tokenizer.name_or_path}: "
            "expected at least one"
        )
    return WordList(path.name, ids, len(words))
