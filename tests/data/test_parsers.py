"""Plain text through a parser to CoNLL-U: small pipelines with the interfaces that spaCy and stanza document, and
spaCy itself where it is installed."""

import gzip
import importlib.util
import sys
from types import ModuleType, SimpleNamespace

import pytest

from kadapter.cli import main
from kadapter.data import parsers
from kadapter.errors import KAdapterError
from kadapter.formats import conllu


def tree(words, upos=("X",) * 9):
    """What the pipelines here answer: every word hangs on the one before it, the first is the root."""
    return list(words), list(range(len(words))), ["root", *["dep"] * (len(words) - 1)], list(upos[: len(words)])


class Token:
    """spacy.tokens.Token: `i` counts in the document, the root is its own head."""

    def __init__(self, sentence, text, i, head):
        self.sentence, self.text, self.i, self._head = sentence, text, i, head
        self.dep_ = "ROOT" if i == head else "dep"
        self.pos_, self.is_space = "X", text.isspace()

    @property
    def head(self):
        return next(token for token in self.sentence if token.i == self._head)


class Doc:
    """spacy.tokens.Doc; a sentence ends after each full stop, a lone | is white space, as spaCy makes tokens of."""

    def __init__(self, text, parsed):
        self.sents, self._parsed = [], parsed
        i = 0
        for part in text.split(" . "):
            words = ["\n" if word == "|" else word for word in part.split()]
            words += ["."] if not part.endswith(".") else []
            sentence, real = [], None
            for word in words:
                sentence.append(Token(sentence, word, i, i if real is None else real))
                real = real if word.isspace() else i
                i += 1
            self.sents.append(sentence)

    def has_annotation(self, attribute):
        assert attribute == "DEP"
        return self._parsed


def fake_spacy(parsed=True):
    def load(name, exclude):
        if name in ("missing", "en_core_web_sm"):
            raise OSError("[E050] Can't find model 'missing'.\nIt doesn't seem to be a package")
        return SimpleNamespace(pipe=lambda texts: (Doc(text, parsed) for text in texts), pipe_names=["tagger"])

    module = ModuleType("spacy")
    module.load = load
    return module


def fake_stanza():
    class Pipeline:
        def __init__(self, lang, processors, download_method, verbose):
            assert download_method is None and "depparse" in processors.split(",") and not verbose
            if lang == "missing":
                raise FileNotFoundError("Resources file not found at: /x/resources.json")
            if lang == "unknown":
                raise ValueError("Unknown language requested: unknown")

        def __call__(self, text):
            sentences = []
            for part in text.split(" . "):
                words = part.split() + ([] if part.endswith(".") else ["."])
                found = zip(*tree(words), strict=True)
                sentences.append(SimpleNamespace(words=[
                    SimpleNamespace(text=w, head=h, deprel=d, upos=u) for w, h, d, u in found
                ]))  # fmt: skip
            return SimpleNamespace(sentences=sentences)

    module = ModuleType("stanza")
    module.Pipeline = Pipeline
    return module


@pytest.fixture
def installed(monkeypatch):
    packages = {"spacy": fake_spacy(), "stanza": fake_stanza()}
    monkeypatch.setattr(parsers, "_package", packages.__getitem__)


TEXT = "Ada left .\n\n  She\tcame back . Nobody saw .\r\nThe end .\n"


@pytest.mark.parametrize("parser", ["spacy", "stanza"])
def test_a_text_becomes_a_treebank(parser, tmp_path, installed):
    (tmp_path / "text.txt").write_text("\ufeff" + TEXT, encoding="utf-8")
    (tmp_path / "text.txt.gz").write_bytes(gzip.compress(TEXT.encode()))
    for name, out in (("text.txt", "a.conllu"), ("text.txt.gz", "b.conllu.gz")):
        assert parsers.parse(tmp_path / name, tmp_path / out, parser) == 4
        rows = conllu.read(tmp_path / out).to_list()
        assert [row["id"] for row in rows] == ["1-1", "2-1", "2-2", "3-1"]
        wanted = [["Ada", "left", "."], ["She", "came", "back", "."], ["Nobody", "saw", "."], ["The", "end", "."]]
        for row, words in zip(rows, wanted, strict=True):
            assert (row["words"], row["heads"], row["deprels"], row["upos"]) == tree(words)
    assert parsers.parse(tmp_path / "text.txt", tmp_path / "c.conllu", parser, paragraphs=True) == 4
    assert [row["id"] for row in conllu.read(tmp_path / "c.conllu").to_list()] == ["1-1", "2-1", "2-2", "2-3"]


def test_white_space_that_spacy_makes_tokens_of_is_left_out(tmp_path, installed):
    (tmp_path / "text.txt").write_text("| Ada | left | .")
    parsers.parse(tmp_path / "text.txt", tmp_path / "a.conllu", "spacy")
    [row] = conllu.read(tmp_path / "a.conllu").to_list()
    assert row["words"] == ["Ada", "left", "."] and row["heads"] == [0, 1, 2]


@pytest.mark.parametrize(
    ("parser", "model", "message"),
    [
        ("spacey", None, "unknown parser 'spacey': did you mean 'spacy'"),
        ("spacy", "missing", "spacy's model 'missing' is not installed .*, python -m spacy download missing"),
        ("stanza", "missing", r"stanza's models for 'missing' are not installed .*stanza.download\('missing'\)"),
        ("stanza", "unknown", "stanza's models for 'unknown' are not installed .Unknown language"),
    ],
)
def test_what_is_missing_is_said_with_its_mend(parser, model, message, tmp_path, installed):
    (tmp_path / "text.txt").write_text(TEXT)
    with pytest.raises(KAdapterError, match=message) as error:
        parsers.parse(tmp_path / "text.txt", tmp_path / "a.conllu", parser, model)
    assert "\n" not in str(error.value) and not (tmp_path / "a.conllu").exists()


@pytest.mark.parametrize("parser", ["spacy", "stanza"])
def test_a_package_that_is_not_installed(parser, tmp_path, monkeypatch):
    def nothing(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(parsers.importlib, "import_module", nothing)
    with pytest.raises(
        KAdapterError, match=rf"the parser {parser} is not installed: pip install 'kadapter\[{parser}\]'"
    ):
        parsers.parse(tmp_path / "text.txt", tmp_path / "a.conllu", parser)


def test_a_model_without_a_parser(tmp_path, monkeypatch):
    monkeypatch.setattr(parsers, "_package", lambda name: fake_spacy(parsed=False))
    (tmp_path / "text.txt").write_text(TEXT)
    with pytest.raises(KAdapterError, match=r"'en_core_web_sm' has no dependency parser: its pipeline is \['tagger'\]"):
        parsers.parse(tmp_path / "text.txt", tmp_path / "a.conllu", "spacy")


def test_a_text_without_words(tmp_path, installed):
    (tmp_path / "text.txt").write_text(" \n\n")
    with pytest.raises(KAdapterError, match="text.txt, file: records: found 0; expected at least one record"):
        parsers.parse(tmp_path / "text.txt", tmp_path / "a.conllu", "spacy")


def test_the_command(tmp_path, installed, monkeypatch, capsys):
    (tmp_path / "text.txt").write_text(TEXT)
    out = tmp_path / "a.conllu"
    command = ["kadapter", "data", "parse", str(tmp_path / "text.txt"), str(out), "--parser", "stanza"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert not ended.value.code and capsys.readouterr().out == f"4 sentences: {out}\n"


if importlib.util.find_spec("spacy"):  # an extra: in the lock of the tests, not in that of the package

    @pytest.mark.filterwarnings("ignore")
    def test_spacy_itself(tmp_path):
        """A parser trained on eight sentences parses them right, from its folder, through the whole way."""
        import spacy
        from spacy.training import Example

        trees = [(["Ada", "left", "Oslo", "."], [2, 0, 2, 2], ["nsubj", "root", "obj", "punct"])]
        trees += [
            ([name, *trees[0][0][1:]], *trees[0][1:]) for name in ("Bob", "Eve", "Max", "She", "He", "Tom", "Kim")
        ]
        pipeline = spacy.blank("en")
        pipeline.add_pipe("parser", config={"min_action_freq": 1})  # so few sentences have no frequent labels
        examples = [
            Example.from_dict(
                pipeline.make_doc(" ".join(words)),
                {
                    "heads": [i if head == 0 else head - 1 for i, head in enumerate(heads)],
                    "deps": ["ROOT" if label == "root" else label for label in deprels],
                },
            )
            for words, heads, deprels in trees
        ]
        optimizer = pipeline.initialize(lambda: examples)
        for _ in range(30):
            pipeline.update(examples, sgd=optimizer)
        pipeline.to_disk(tmp_path / "model")
        (tmp_path / "text.txt").write_text("\n".join(" ".join(words) for words, *_ in trees))
        count = parsers.parse(tmp_path / "text.txt", tmp_path / "a.conllu", "spacy", str(tmp_path / "model"))
        rows = conllu.read(tmp_path / "a.conllu").to_list()
        assert count == len(rows) == 8
        assert [(row["words"], row["heads"], row["deprels"]) for row in rows] == trees
        (tmp_path / "text.txt").write_text("x")
        with pytest.raises(KAdapterError, match="spacy's model 'xx_none' is not installed"):
            parsers.parse(tmp_path / "text.txt", tmp_path / "b.conllu", "spacy", "xx_none")
        spacy.blank("en").to_disk(tmp_path / "blank")
        with pytest.raises(KAdapterError, match=r"has no dependency parser: its pipeline is \[\]"):
            parsers.parse(tmp_path / "text.txt", tmp_path / "b.conllu", "spacy", str(tmp_path / "blank"))


def test_spacy_itself_on_real_text(real_data, tmp_path):
    """The extra's packaged model parses the sentences of a treebank much as people did; heads where the words agree."""
    pytest.importorskip("spacy")
    gold = conllu.read(real_data / "ud_english_ewt" / "en_ewt-ud-test.conllu.gz").select(range(150)).to_list()
    gold = [row for row in gold if len(row["words"]) > 3]
    (tmp_path / "text.txt").write_text("\n".join(" ".join(row["words"]) for row in gold))
    count = parsers.parse(tmp_path / "text.txt", tmp_path / "a.conllu", "spacy")
    found = {row["id"]: row for row in conllu.read(tmp_path / "a.conllu").to_list()}
    assert count == len(found) >= len(gold)
    right = total = 0
    for number, row in enumerate(gold, 1):
        parsed = found[f"{number}-1"]
        if parsed["words"] == row["words"]:
            total += len(row["heads"])
            right += sum(a == b for a, b in zip(parsed["heads"], row["heads"], strict=True))
    assert total > 300 and right / total > 0.5  # another scheme: a preposition heads its noun there
    assert {"nsubj", "det", "root"} <= {label for row in found.values() for label in row["deprels"]}
