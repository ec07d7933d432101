"""Places before linked mentions, and the three variants of mention-masked language modelling, by hand."""

import pytest
from datasets import Dataset, Features
from hypothesis import given
from hypothesis import strategies as st

from kadapter import catalog
from kadapter.errors import KAdapterError
from kadapter.formats.schemas import LINKS, MENTION, RELATION
from kadapter.model.backbone import load_tokenizer
from kadapter.tasks.links import FIRST_PLACE, SEPARATOR, encode_linked, moved, place
from kadapter.tasks.mention import variants
from tests import linked

KNOWN = {"Q1": 10, "Q2": 20}


def rows_of(ids):
    return [KNOWN.get(id, -1) for id in ids]


def sentence(**more):
    text = "Ada Lovelace worked in London ."
    spans = {"subj_start": 0, "subj_end": 12, "obj_start": 23, "obj_end": 29}
    links = [{"start": 23, "end": 29, "entity": "Q2"}, {"start": 0, "end": 12, "entity": "Q1"}]
    row = {name: "" for name in RELATION} | {"id": "7", "text": text, "tokens": []} | spans | {"links": links} | more
    return Dataset.from_list([row], features=Features(RELATION | {"links": LINKS}))


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer("minilm")


def test_places_are_written_and_positions_follow():
    placed, rows = place("relation", sentence()[:], rows_of)
    first, second = (f"{chr(FIRST_PLACE + k)} {SEPARATOR} " for k in range(2))
    text = placed["text"][0]
    assert text == f"{first}Ada Lovelace worked in {second}London ." and rows == [[10, 20]]
    assert text[placed["subj_start"][0] : placed["subj_end"][0]] == f"{first}Ada Lovelace"
    assert text[placed["obj_start"][0] : placed["obj_end"][0]] == f"{second}London"


@given(st.lists(st.integers(0, 30), unique=True, max_size=6), st.integers(0, 30))
def test_positions_move_with_their_character(starts, at):
    """Against inserting into a text of distinct characters."""
    text = "".join(chr(0x4E00 + i) for i in range(31))
    starts = sorted(starts)
    written = "".join(("####" if i in starts else "") + c for i, c in enumerate(text))
    assert written[moved(at, starts, 4, inside=True)] == text[at]
    expected = written.index(text[at]) - 4 * (at in starts)
    assert moved(at, starts, 4) == expected


def words(tokenizer, ids):
    return " ".join("e" if i == tokenizer.unk_token_id else tokenizer.convert_ids_to_tokens(i) for i in ids)


def read(tokenizer, dataset, reading="masked", **options):
    task = catalog.task("mention", reading=reading, **options)
    return encode_linked(task, tokenizer, variants(dataset, reading)[:], rows_of)


def test_the_three_variants(tokenizer):
    """Both hidden, head alone, tail alone: every piece a mask, labels there alone, vectors always there."""
    columns = read(tokenizer, sentence())
    expected = [
        ("[CLS] e / [MASK] [MASK] [MASK] worked in e / [MASK] . [SEP]", [3, 4, 5, 10], "ada love ##lace london"),
        ("[CLS] e / [MASK] [MASK] [MASK] worked in e / london . [SEP]", [3, 4, 5], "ada love ##lace"),
        ("[CLS] e / ada love ##lace worked in e / [MASK] . [SEP]", [10], "london"),
    ]
    for number, (text, asked, labels) in enumerate(expected):
        assert words(tokenizer, columns["input_ids"][number]) == text
        assert columns["asked"][number] == asked
        assert columns["labels"][number] == tokenizer.convert_tokens_to_ids(labels.split())
        rows = columns["link_rows"][number]
        assert [r for r in rows if r != -1] == [10, 20] and (rows[1], rows[8]) == (10, 20)


def test_one_linked_mention_still_hides_both(tokenizer):
    dataset = sentence(links=[{"start": 23, "end": 29, "entity": "Q2"}])
    columns = read(tokenizer, dataset)
    assert words(tokenizer, columns["input_ids"][0]) == "[CLS] [MASK] [MASK] [MASK] worked in e / [MASK] . [SEP]"
    assert words(tokenizer, columns["input_ids"][2]) == "[CLS] ada love ##lace worked in e / [MASK] . [SEP]"


def test_left_to_right_nothing_is_hidden():
    """The mapped vector, `/`, then the mention: each piece predicted from what stands before it."""
    tokenizer = load_tokenizer("smollm2")
    columns = read(tokenizer, sentence(), "causal")
    assert len(columns["input_ids"]) == 1
    ids, asked, labels = (columns[name][0] for name in ("input_ids", "asked", "labels"))
    assert [ids[k + 1] for k in asked] == labels
    assert tokenizer.decode(labels) == " Ada Lovelace London"
    rows = columns["link_rows"][0]
    assert rows[0] == 10 and tokenizer.convert_ids_to_tokens(ids[1]) == "Ġ/" and asked[0] == 1


def test_long_texts_keep_their_mentions(tokenizer):
    text = "very " * 40 + "Ada Lovelace " + "worked " * 40 + "."
    start = text.index("Ada")
    row = {"id": "0", "text": text, "masked": [{"start": start, "end": start + 12}]}
    row |= {"links": [{"start": start, "end": start + 12, "entity": "Q1"}]}
    dataset = Dataset.from_list([row], features=MENTION)
    task = catalog.task("mention", max_length=16)
    columns = encode_linked(task, tokenizer, dataset[:], rows_of)
    assert len(columns["input_ids"][0]) == 16 and 10 in columns["link_rows"][0]
    assert [columns["input_ids"][0][k] for k in columns["asked"][0]] == [tokenizer.mask_token_id] * 3


def test_sentences_without_links_are_dropped():
    dataset = linked.relations(4)
    assert len(variants(dataset)) == 12 and len(variants(dataset, "causal")) == 4
    bare = dataset.remove_columns("links").add_column("links", [[]] * 4, feature=LINKS)
    with pytest.raises(KAdapterError, match="none of 4 sentences mentions a linked entity"):
        variants(bare)


def test_mistakes_are_one_sentence(tokenizer):
    smollm2 = load_tokenizer("smollm2")
    with pytest.raises(KAdapterError, match="no mask token: a causal model is tuned with reading='causal'"):
        read(smollm2, sentence())
    with pytest.raises(KAdapterError, match="schema 'triple' has no text"):
        place("triple", {}, rows_of)
    nothing = variants(sentence())[:] | {"masked": [[{"start": 12, "end": 12}]] * 3}
    with pytest.raises(KAdapterError, match="record 7-0: the mention at 16 has no pieces"):
        encode_linked(catalog.task("mention"), tokenizer, nothing, rows_of)
