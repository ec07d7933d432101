"""Entity embeddings: what is written reads the same, official files are read as they are, five million open at once."""

import gzip
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kadapter.errors import FormatError, KAdapterError
from kadapter.graphs import entity_ids
from kadapter.graphs.embeddings import EntityEmbeddings

names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\t\r\n"), min_size=1, max_size=8)
names = names.filter(str.strip)


def some(count=4, width=3, seed=0) -> EntityEmbeddings:
    matrix = np.random.default_rng(seed).standard_normal((count, width), dtype=np.float32)
    return EntityEmbeddings.from_arrays([f"Q{7 * i}" for i in range(count)], matrix)


def official(folder, text="4\nQ11\t0\nQ5\t1\nQ42\t2\nQ7\t3\n", name="entity2id.txt", rows=4):
    """Files as Knowledge-Plugin has them; the matrix counts 0, 1, 2, ..."""
    matrix = np.arange(rows * 2, dtype=np.float32).reshape(rows, 2)
    np.save(folder / "transe.npy", matrix)
    (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return matrix


@pytest.mark.parametrize("file", entity_ids.FILES)
@given(data=st.data())
def test_what_is_written_reads_the_same(file, tmp_path_factory, data):
    ids = data.draw(st.lists(names, min_size=1, max_size=8, unique=True))
    matrix = data.draw(st.lists(st.floats(-9, 9, width=32), min_size=2 * len(ids), max_size=2 * len(ids)))
    made = EntityEmbeddings.from_arrays(ids, np.reshape(np.asarray(matrix, dtype=np.float32), (-1, 2)))
    read = EntityEmbeddings.open(made.save(tmp_path_factory.mktemp("saved"), ids=file))
    assert list(read.ids) == ids and np.array_equal(read.matrix, made.matrix)
    assert read.fingerprint == made.fingerprint
    asked = data.draw(st.lists(st.sampled_from([*ids, "\t"]), max_size=9))
    assert read.rows(asked).tolist() == [ids.index(id) if id in ids else -1 for id in asked]


@given(data=st.binary(max_size=40) | st.text("Q12\t \n\r-", max_size=40).map(str.encode))
@pytest.mark.parametrize("file", entity_ids.FILES)
def test_any_bytes_are_read_or_refused_in_one_sentence(file, tmp_path_factory, data):
    path = tmp_path_factory.mktemp("wild") / file
    path.write_bytes(data)
    try:
        found = entity_ids.read(path).to_pylist()
    except KAdapterError as error:
        assert "\n" not in str(error) and str(path) in str(error)
    else:
        assert found and all(found)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("entity2id.txt", "4\nQ11 0\nQ5 1\nQ42 2\nQ7 3\n"),
        ("entity2id.txt", "4\r\nQ5\t1\r\nQ7\t3\r\nQ11\t0\r\nQ42\t2"),
        ("entity2id.txt", gzip.compress(b"4\nQ11\t0\nQ5\t1\nQ42\t2\nQ7\t3\n", mtime=0)),
        ("entities.tsv", "id\tcui\n0\tQ11\n1\tQ5\n2\tQ42\n3\tQ7\n"),
    ],
)
def test_official_files(tmp_path, name, text):
    matrix = official(tmp_path, text, name)
    for path in (tmp_path, tmp_path / "transe.npy"):
        opened = EntityEmbeddings.open(path)
        assert (len(opened), opened.width) == (4, 2) and isinstance(opened.matrix, np.memmap)
        assert opened.row("Q42") == 2 and opened.row("Q1") is None
        assert np.array_equal(opened.matrix[opened.rows(["Q7", "Q11", "Q7"])], matrix[[3, 0, 3]])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Q11\t0\n", r"line 1: count: found 'Q11\\t0'; expected the number of entities"),
        ("3\nQ11\t0\nQ5\t1\nQ42\t2\n", "counts 3 entities, transe.npy has 4 rows; expected as many"),
        ("4\nQ11\t0\nQ5\t1\nQ42\t2\n", "line 1: count: found 4; expected 3, the number of lines below it"),
        ("4\nQ11\t0\nQ5\nQ42\t2\nQ7\t3\n", "line 3: columns: found 'Q5'; expected id<tab>row"),
        ("4\nQ11\t0\n\t1\nQ42\t2\nQ7\t3\n", r"line 3: columns: found '\\t1'; expected id<tab>row"),
        ("4\nQ11\t0\nQ5\tx\nQ42\t2\nQ7\t3\n", r"line 3: columns: found 'Q5\\tx'; expected id<tab>row"),
        ("4\nQ11\t0\nQ5\t1\nQ42\t1\nQ7\t3\n", "entity Q42: row: found 1; expected every row of 0 ... 3 once"),
        ("4\nQ11\t0\nQ5\t1\nQ42\t2\nQ7\t9\n", "entity Q7: row: found 9; expected every row of 0 ... 3 once"),
        ("4\nQ11\t0\nQ5\t1\nQ42\t2\nQ5\t3\n", "entity 'Q5' has two rows; expected one"),
    ],
)
def test_broken_ids(tmp_path, text, said):
    official(tmp_path, text)
    with pytest.raises(KAdapterError, match=said):
        EntityEmbeddings.open(tmp_path).row("Q5")


def test_what_cannot_be_opened(tmp_path):
    with pytest.raises(KAdapterError, match="a folder with one; found none"):
        EntityEmbeddings.open(tmp_path)
    matrix = official(tmp_path)
    for wrong, said in (
        (matrix.astype(np.float64), "found float64 of shape"),
        (matrix[0], r"found float32 of shape \(2,\)"),
        (np.array([{}]), "cannot be read as .npy"),
    ):
        np.save(tmp_path / "transe.npy", wrong)
        with pytest.raises(KAdapterError, match=said):
            EntityEmbeddings.open(tmp_path)
    (tmp_path / "transe.npy").write_bytes(b"\x93NUMPY\x01")
    with pytest.raises(KAdapterError, match="cannot be read as .npy"):
        EntityEmbeddings.open(tmp_path)
    (tmp_path / "entity2id.txt").unlink()
    with pytest.raises(KAdapterError, match="no ids beside it; expected entity2id.txt or entities.tsv"):
        EntityEmbeddings.open(tmp_path)
    np.save(tmp_path / "other.npy", matrix)
    with pytest.raises(KAdapterError, match="found other.npy, transe.npy"):
        EntityEmbeddings.open(tmp_path)


def test_arrays_that_are_no_embeddings():
    with pytest.raises(KAdapterError, match="'a' comes twice"):
        EntityEmbeddings.from_arrays(["a", "a"], np.zeros((2, 2)))
    with pytest.raises(KAdapterError, match=r"1 ids and an array of shape \(2, 2\)"):
        EntityEmbeddings.from_arrays(["a"], np.zeros((2, 2)))
    with pytest.raises(KAdapterError, match="the vector of entity 'b' is not finite"):
        EntityEmbeddings.from_arrays(["a", "b"], np.array([[0.0], [np.nan]]))


def test_an_id_that_no_file_can_hold(tmp_path):
    with pytest.raises(KAdapterError, match=r"row 1: the entity's id is 'b\\t'"):
        EntityEmbeddings.from_arrays(["a", "b\t"], np.zeros((2, 1))).save(tmp_path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(KAdapterError, match="cannot be written as 'ids.csv'"):
        some().save(tmp_path, ids="ids.csv")


def test_shuffled_is_a_permutation_that_its_seed_tells():
    made = some(50)
    control = made.shuffled(1)
    assert sorted(control.ids) == sorted(made.ids) and control.matrix is made.matrix
    moved = control.rows(list(made.ids)) != np.arange(50)
    assert moved.mean() > 0.8
    assert control.fingerprint == made.shuffled(1).fingerprint
    assert len({made.fingerprint, control.fingerprint, made.shuffled(2).fingerprint}) == 3


def test_fingerprint_depends_on_every_id_and_number():
    made = some()
    other = EntityEmbeddings.from_arrays([*made.ids[:3], "Q1"], made.matrix)
    changed = made.matrix.copy()
    changed[3, 2] += 1
    third = EntityEmbeddings.from_arrays(list(made.ids), changed)
    assert len({made.fingerprint, other.fingerprint, third.fingerprint}) == 3


def test_five_million_open_within_a_second_and_200_mb(tmp_path):
    """Measured in a process of its own; the matrix is a sparse file, of which no byte is read."""
    count = 5_000_000
    np.lib.format.open_memmap(tmp_path / "transe.npy", mode="w+", dtype=np.float32, shape=(count, 128)).flush()
    with open(tmp_path / "entity2id.txt", "w") as file:
        file.write(f"{count}\n" + "".join(map("Q%d\t%d\n".__mod__, zip(range(count), range(count), strict=True))))
    code = (
        "import psutil, sys, time; from kadapter.graphs.embeddings import EntityEmbeddings; "
        "start = time.process_time(); found = EntityEmbeddings.open(sys.argv[1]); "
        "seconds = time.process_time() - start; "
        "print(seconds, psutil.Process().memory_info().rss >> 20, found.row('Q4000000'), found)"
    )
    shown = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True).stdout
    seconds, megabytes, row, text = shown.split(maxsplit=3)
    assert float(seconds) < 1 and int(megabytes) < 200
    assert int(row) == 4_000_000 and "5,000,000 entities x 128" in text


def test_errors_name_the_file(tmp_path):
    official(tmp_path, "4\nQ11\t0\nQ5\n")
    with pytest.raises(FormatError) as raised:
        entity_ids.read(tmp_path / "entity2id.txt")
    assert raised.value.file.endswith("entity2id.txt") and raised.value.where == "line 3"
