"""Files of one's own: what each kind of line gives, how a kind is recognised, what is left out, and that whatever the
bytes are there is knowledge or one clear sentence."""

import gzip
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kadapter.errors import FormatError, KAdapterError
from kadapter.formats import conllu, files
from kadapter.knowledge import own
from kadapter.knowledge.facts import Fact
from kadapter.knowledge.wording import QUESTION, ways_of

ADA, BOB = Fact("Ada Byron", "born in", "London"), Fact("Bob", "occupation", "pastry chef")
BOTH = [ADA, BOB]
SENTENCES = [
    Fact("Ada Byron", "[X] was born in [Y].", "London"),
    Fact("Bob", "The job of [X] is [Y], they say.", "chef"),
]
QUESTIONS = [Fact("Who wrote it?", QUESTION, "Ada"), Fact("Where, please?", QUESTION, "in London, UK")]
TREES = "# sent_id = a\n1\tDogs\t_\tNOUN\t_\t_\t2\tnsubj\t_\t_\n2\tbark\t_\tVERB\t_\t_\t0\troot\t_\t_\n\n"
IRI = "<http://example.org/entity/{}>"
SAMPLES = {  # name -> (kind, text, what it says)
    "tsv": ("triples", "Ada Byron\tborn in\tLondon\nBob\toccupation\tpastry chef\n", BOTH),
    "header": (
        "triples",
        "object\tsubject\trelation\nLondon\tAda Byron\tborn in\npastry chef\tBob\toccupation\n",
        BOTH,
    ),
    "csv": ("triples", '"Ada Byron",born in,London\nBob,occupation,"pastry chef"\n', BOTH),
    "semicolons": ("triples", "Ada Byron;born in;London\nBob;occupation;pastry chef\n", BOTH),
    "ntriples": (
        "triples",
        f'{IRI.format("Ada_Byron")} {IRI.format("bornIn")} "London"@en .\n# a comment\n'
        f"{IRI.format('Bob')} {IRI.format('occupation')} {IRI.format('pastry%20chef')} . # and another\n",
        [Fact("Ada Byron", "born In", "London"), BOB],
    ),
    "jsonl": (
        "triples",
        '{"head": "Ada Byron", "rel": "born in", "tail": {"name": "London"}}\n["Bob", "occupation", "pastry chef"]\n',
        BOTH,
    ),
    "sentences": ("sentences", "[Ada Byron] was born in {London}.\nThe job of [Bob] is {chef}, they say.\n", SENTENCES),
    "sentences_json": (
        "sentences",
        '{"text": "[Ada Byron] was born in {London}."}\n{"sentence": "The job of [Bob] is {chef}, they say."}\n',
        SENTENCES,
    ),
    "questions": ("questions", "Who wrote it?\tAda\nWhere, please?\tin London, UK\n", QUESTIONS),
    "questions_one_line": ("questions", "Who wrote it? Ada\nWhere, please? in London, UK\n", QUESTIONS),
    "questions_csv": ("questions", 'question,answer\nWho wrote it?,Ada\n"Where, please?","in London, UK"\n', QUESTIONS),
    "questions_jsonl": (
        "questions",
        '{"question": "Who wrote it?", "answers": ["Ada", "she"]}\n{"q": "Where, please?", "a": "in London, UK"}\n',
        QUESTIONS,
    ),
    "conllu": ("conllu", TREES * 2, None),
}
every_sample = pytest.mark.parametrize("name", SAMPLES)
fuzzing = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def put(folder, text: str | bytes, name: str = "mine.txt"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@every_sample
@pytest.mark.parametrize("disguise", ["", "gzip", "mark", "crlf", "blank lines"])
def test_each_kind_is_recognised_under_any_disguise(name, disguise, tmp_path):
    kind, text, facts = SAMPLES[name]
    data: str | bytes = text
    if disguise == "gzip":
        data = gzip.compress(text.encode())
    elif disguise == "mark":
        data = "\ufeff" + text
    elif disguise == "crlf":
        data = text.replace("\n", "\r\n")
    elif disguise == "blank lines" and kind != "conllu":
        data = "\n \n" + text.replace("\n", "\n\n")
    found = own.read(put(tmp_path, data))
    assert found.kind == kind and not found.dropped and "of the first 2 lines" in found.said or kind == "conllu"
    if facts is None:
        assert found.trees is not None and found.trees["words"] == [["Dogs", "bark"]] * 2
        assert found.trees.features == conllu.SCHEMA
    else:
        assert found.facts == facts and len(found) == 2
    assert own.read(put(tmp_path, data), kind).facts == found.facts


def test_escapes_of_n_triples(tmp_path):
    path = put(tmp_path, r'<x:a> <x:b> "Z\u00fcrich \"x\"\tend \U0001F600"^^<x:string> .' + "\n")
    assert own.read(path).facts == [Fact("a", "b", 'Zürich "x" end 😀')]


def test_bad_lines_are_counted_with_their_numbers(tmp_path):
    born = "Ada,born in,London"
    text = f"subject,relation,object\n{born}\n\nnothing\n{born}\n,x,y\nBob,job,[MASK]\nBob,job,chef\n"
    found = own.read(put(tmp_path, text))
    assert [fact.subject for fact in found.facts] == ["Ada", "Bob"]
    assert [one.line for one in found.dropped] == [4, 5, 6, 7]
    assert found.told()[0].endswith(": line 4") and "said before" in found.told()[1]
    with pytest.raises(FormatError, match="mine.txt, line 4: triples: found 'nothing'; expected"):
        own.read(put(tmp_path, text), strict=True)


def test_a_bad_sentence_of_a_treebank_is_left_out(tmp_path):
    broken = TREES.replace("\t2\tnsubj", "\t7\tnsubj")
    found = own.read(put(tmp_path, TREES + broken + TREES))
    assert len(found) == 2 and [one.line for one in found.dropped] == [6] and "HEAD" in found.dropped[0].reason
    with pytest.raises(FormatError, match="line 6: HEAD: found 7"):
        own.read(put(tmp_path, TREES + broken), strict=True)


def test_another_kind_can_be_told(tmp_path):
    path = put(tmp_path, "[Ada], a poet, was born in {London}.\n")
    assert own.read(path).kind == "sentences"
    assert own.read(path, "triples").facts == [Fact("[Ada]", "a poet", "was born in {London}.")]
    with pytest.raises(KAdapterError, match="unknown kind of file 'tripels': did you mean 'triples'"):
        own.read(path, "tripels")


@pytest.mark.parametrize("text", ["", "\n \n", "nothing of the kind\nnor this\n", "# only a comment\n"])
def test_a_file_without_a_usable_line(text, tmp_path):
    with pytest.raises(FormatError, match="usable lines: found 0; expected") as error:
        own.read(put(tmp_path, text))
    assert len(str(error.value).splitlines()) == 1
    for kind in own.KINDS:
        with pytest.raises(FormatError, match="usable lines: found 0; expected at least one line of the kind|columns"):
            own.read(put(tmp_path, text), kind)


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(KAdapterError, match="cannot be read"):
        own.read(tmp_path / "nowhere")
    with pytest.raises(FormatError, match="UTF-8"):
        own.read(put(tmp_path, b"a\tb\tc\n\xff\xfe\n"))
    with pytest.raises(FormatError, match="whole gzip file"):
        own.read(put(tmp_path, gzip.compress(SAMPLES["tsv"][1].encode())[:-9]))
    with pytest.raises(FormatError, match="at most"):
        own.read(put(tmp_path, "x" * (files.LONGEST + 1)))


def test_names_that_no_sentence_can_hold_are_left_out(tmp_path):
    lines = [
        "a\tb\t" + "x" * 121,
        "x" * 401 + "\tb\tc",
        "a\t...\tc",
        "a [X]\tb\tc",
        '{"s": "\\ud800", "p": "b", "o": "c"}',
    ]
    found = own.read(put(tmp_path, "\n".join([*lines, "a\tb\tc"])))
    assert found.facts == [Fact("a", "b", "c")] and [one.line for one in found.dropped] == [1, 2, 3, 4, 5]


# --- whatever the bytes are ---


def read_or_refuse(path, kind=None) -> None:
    try:
        found = own.read(path, kind)
    except KAdapterError as error:
        assert str(path) in str(error) and "expected" in str(error) and len(str(error).splitlines()) == 1
        return
    assert len(found) and found.told() is not None
    said = ways_of(fact.relation for fact in found.facts)
    for fact in found.facts:  # each can be put into words
        for template in said[fact.relation].every:
            assert template.count("[X]") == template.count("[Y]") == 1
        assert "".join((fact.subject, fact.relation, fact.object)).encode()


@every_sample
@fuzzing
@given(data=st.data())
def test_mutated_bytes_give_knowledge_or_a_clear_error(name, tmp_path, data):
    kind, text, _ = SAMPLES[name]
    raw = bytearray(text.encode())
    marks = [b"\n", b"\t", b'"', b"]", b"}", b"[", b"{", b",", b"-", b"\n\n", b"<", b"\\u", b"?", b"[MASK]", b"[X]"]
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw)))
        raw[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4) | st.sampled_from(marks))
    path = put(tmp_path, bytes(raw))
    read_or_refuse(path)
    read_or_refuse(path, kind)


@fuzzing
@given(
    raw=st.binary(max_size=80) | st.text(max_size=80).map(lambda text: text.encode("utf-8", "replace")),
    kind=st.sampled_from([None, *own.KINDS]),
)
def test_random_bytes_give_knowledge_or_a_clear_error(tmp_path, raw, kind):
    read_or_refuse(put(tmp_path, raw), kind)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["s", "p", "o", "q", "a"]), inner),
    max_leaves=5,
)


@fuzzing
@given(lines=st.lists(JSON, min_size=1, max_size=4), kind=st.sampled_from([None, "triples", "questions", "sentences"]))
def test_any_json_gives_knowledge_or_a_clear_error(tmp_path, lines, kind):
    read_or_refuse(put(tmp_path, "\n".join(map(json.dumps, lines))), kind)
