"""Links by hand: ids that the data has, names of a surface map, rows; the rest is counted."""

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from kadapter.errors import FormatError, KAdapterError
from kadapter.formats.schemas import LINKS, RELATION, TYPING
from kadapter.graphs import surfaces
from kadapter.graphs.embeddings import EntityEmbeddings
from kadapter.graphs.linking import linked

KNOWN = EntityEmbeddings.from_arrays(["Q1", "Q2", "Q3"], np.eye(3))


def relation(text, subject, object, ids):
    (subj_start, obj_start) = text.index(subject), text.index(object)
    return {
        "id": "", "text": text, "subj_start": subj_start, "subj_end": subj_start + len(subject),
        "obj_start": obj_start, "obj_end": obj_start + len(object), "label": "P1", "subj_id": ids[0], "obj_id": ids[1],
        "subj_type": "", "obj_type": "", "tokens": [],
    }  # fmt: skip


def typing(text, mention, *ents):
    start = text.index(mention)
    links = [{"id": id, "start": text.index(m), "end": text.index(m) + len(m), "score": 1.0} for id, m in ents]
    return {"id": "", "text": text, "start": start, "end": start + len(mention), "labels": [], "ents": links}


RELATIONS = Dataset.from_list(
    [
        relation("In Rome lived Ada .", "Ada", "Rome", ("Q1", "Q2")),
        relation("Ada met Bob .", "Ada", "Bob", ("Q9", "")),
        relation("Eve met Bob .", "Eve", "Bob", ("", "Q3")),
    ],
    features=RELATION,
)


def test_ids_of_a_relation_dataset():
    found = linked(RELATIONS, KNOWN)
    assert found.dataset.features["links"] == LINKS
    assert found.dataset["links"][:] == [
        [{"start": 3, "end": 7, "entity": "Q2"}, {"start": 14, "end": 17, "entity": "Q1"}],
        [],
        [{"start": 8, "end": 11, "entity": "Q3"}],
    ]
    assert found.counts.loc["subject"].tolist() == [3, 1, 1, 1, 0]
    assert found.counts.loc["object"].tolist() == [3, 2, 1, 0, 0]
    assert found.coverage == 0.5
    assert len(linked(RELATIONS).dataset["links"][1]) == 1  # without embeddings every id is kept
    again = linked(found.dataset, KNOWN)
    assert again.dataset["links"][:] == found.dataset["links"][:]


def test_names_are_asked_for_what_has_no_id():
    names = {"Eve": ["Q1"], "Bob": ["Q2", "Q3"], "Ada": ["Q3"]}
    found = linked(RELATIONS, KNOWN, names)
    assert found.dataset["links"][1] == []  # Ada has an id, though no vector; Bob may be two
    assert [link["entity"] for link in found.dataset["links"][2]] == ["Q1", "Q3"]
    assert found.counts["ambiguous"].to_dict() == {"subject": 0, "object": 1}
    # Of two ids one may have no vector, and then the name means the other.
    names["Bob"] = ["Q8", "Q3"]
    assert linked(RELATIONS, KNOWN, names).counts.loc["object", "linked"] == 3


def test_typing_links_the_mention_and_on_demand_the_others():
    rows = [
        typing("Ada met Bob in Rome .", "Bob", ("Q1", "Ada"), ("Q2", "Bob"), ("Q7", "Rome")),
        typing("Ada met Bob .", "Bob", ("Q1", "Ada"), ("Q2", "Bob"), ("Q3", "Bob")),
        typing("Ada met Bob .", "Bob"),
    ]
    dataset = Dataset.from_list(rows, features=TYPING)
    found = linked(dataset, KNOWN)
    assert found.dataset["links"][:] == [[{"start": 8, "end": 11, "entity": "Q2"}], [], []]
    assert found.counts.loc["mention"].tolist() == [3, 1, 1, 0, 1]
    more = linked(dataset, KNOWN, others=True)
    assert [[link["entity"] for link in links] for links in more.dataset["links"]] == [["Q1", "Q2"], ["Q1"], []]
    assert more.counts.loc["other"].tolist() == [3, 2, 0, 1, 0]


def test_ids_may_be_rows():
    dataset = Dataset.from_list(
        [typing("Ada met Bob .", "Ada", (id, "Ada")) for id in ("2", "3", "x")], features=TYPING
    )
    found = linked(dataset, KNOWN, rows=True)
    assert found.dataset["links"][0] == [{"start": 0, "end": 3, "entity": "Q3"}]
    assert found.counts.loc["mention"].tolist() == [3, 1, 2, 0, 0]
    with pytest.raises(KAdapterError, match="need the embeddings whose rows they are"):
        linked(dataset, rows=True)


def test_other_columns_are_refused():
    with pytest.raises(
        KAdapterError,
        match="cannot link a dataset with the columns text; expected those of the schema relation or typing, or links",
    ):
        linked(Dataset.from_dict({"text": ["a"]}), KNOWN)


def test_links_that_are_there_already_are_kept_as_far_as_they_are_known():
    links = [{"start": 0, "end": 1, "entity": "Q2"}, {"start": 2, "end": 3, "entity": "Q9"}]
    dataset = Dataset.from_dict({"text": ["a b"], "links": [links]})
    found = linked(dataset, KNOWN)
    assert found.dataset["links"][:] == [links[:1]] and found.dataset.column_names == ["text", "links"]
    assert found.counts.loc["link"].tolist() == [2, 1, 0, 1, 0]


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufeff\t\r\n"), min_size=1, max_size=6)


@given(made=st.dictionaries(texts, st.lists(texts.filter(str.strip), min_size=1, max_size=3, unique=True), min_size=1))
def test_surface_maps_read_as_they_were_written(tmp_path_factory, made):
    path = tmp_path_factory.mktemp("map") / "entity_map.txt"
    surfaces.write(made, path)
    assert surfaces.read(path) == made
    name = next(iter(made))
    assert surfaces.read(path, wanted={name}) == {name: made[name]}


def test_official_surface_map(tmp_path):
    path = tmp_path / "entity_map.txt"
    path.write_text("Ada\tAda Lovelace\tQ1\n\nBob\tQ2\nBob\tQ3\nBob\tQ2\n")
    assert surfaces.read(path) == {"Ada": ["Q1"], "Bob": ["Q2", "Q3"]}
    for broken in ("Ada\n", "\tQ1\n", "Ada\t \n"):
        path.write_text("Bob\tQ2\n" + broken)
        with pytest.raises(FormatError, match="line 2: columns"):
            surfaces.read(path)
    with pytest.raises(KAdapterError, match="without tab or line break"):
        surfaces.write({"a\tb": ["Q1"]}, path)
