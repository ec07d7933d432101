"""One resolver for `kadapter data` and `kadapter run`: gzipped or not, under every published name, in every folder."""

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from kadapter.data import listing, places
from kadapter.errors import KAdapterError
from kadapter.experiment import preset
from tests.formats.test_formats import SAMPLES

WIKI80 = {"format": "opennre", "path": "wiki80"}


def put(path, text="x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("there", ["", ".gz"])
@pytest.mark.parametrize("asked", ["", ".gz"])
def test_gzipped_or_not_whatever_the_preset_says(tmp_path, there, asked):
    file = put(tmp_path / "wiki80" / f"wiki80_val.txt{there}")
    base, found = places.locate(tmp_path, WIKI80, [f"wiki80_val.txt{asked}", "other.txt"])
    assert (base, found) == (tmp_path / "wiki80", [file, None])


def test_upstream_names_and_other_folders(tmp_path):
    file = put(tmp_path / "wiki80" / "train_0.1.txt")
    draws = ["wiki80_train_0.1_b.txt.gz", "wiki80_train_0.1_a.txt.gz"]
    assert places.locate(tmp_path, WIKI80, draws)[1] == [file, file]
    own = put(tmp_path / "wiki80" / "wiki80_train_0.1_b.txt")  # its own name comes first
    assert places.locate(tmp_path, WIKI80, draws)[1] == [own, file]
    deep = put(tmp_path / "tacred" / "data" / "json" / "dev.json")
    spec = {"format": "tacred", "path": "TACRED"}
    assert places.locate(tmp_path, spec, ["train.json", "dev.json"]) == (deep.parent, [None, deep])
    assert places.locate(tmp_path, spec | {"path": str(tmp_path)}, ["dev.json"])[1] == [None], "a place that was named"


def test_what_data_lists_run_finds(tmp_path, monkeypatch):
    """Every file that `kadapter data` finds for a dataset of the miniature is one that the preset reads, and back."""
    text = SAMPLES["opennre"][2]
    for name in ("train_0.1.txt", "val.txt.gz"):
        put(tmp_path / "wiki80" / name, text)
    monkeypatch.setenv("KADAPTER_DATA", str(tmp_path))
    listed = next(one for one in listing.look() if one.name == "wiki80")
    assert [len(split.files) for split in listed.splits] == [1, 1] and listed.state == "partly"
    loaded = preset.load("miniature", ["tasks=[fewrel]", "models=[F]"])  # FewRel is optional, and not there
    files = {file for split in listed.splits for file in split.files}
    assert {str(file) for file in preset.data_files(loaded)} == files


def test_one_of_a_pair_is_no_split(tmp_path, monkeypatch):
    monkeypatch.setenv("KADAPTER_DATA", str(tmp_path))
    base = tmp_path / "quasart"
    for split in ("train", "dev", "test"):
        put(base / f"{split}.txt")
        put(base / f"{split}.json.gz")
    name = "wang2021_kadapter_roberta_large"
    loaded = preset.load(name, ["tasks=[quasart]", "models=[backbone]"])
    assert preset.data_files(loaded) == [base / f"{split}.txt" for split in ("train", "dev", "test")]
    (base / "dev.json.gz").unlink()
    with pytest.raises(KAdapterError, match="dataset 'quasart': there is no file .*quasart/dev.json: put it there"):
        preset.data_files(loaded)


def test_a_tar_file_is_a_folder(tmp_path, monkeypatch):
    """As ConvE publishes its graphs: unpacked once, in the cache, and again when the file is another."""
    monkeypatch.setenv("KADAPTER_CACHE", str(tmp_path / "cache"))

    def pack(text):
        (tmp_path / "train.txt").write_text(text)
        with tarfile.open(tmp_path / "umls.tar.gz", "w:gz") as archive:
            archive.add(tmp_path / "train.txt", "train.txt")

    spec = {"format": "graph_text", "path": "umls.tar.gz"}
    pack("a\tr\tb\n")
    base, [found, missing] = places.locate(tmp_path, spec, ["train.txt", "test.txt"])
    assert found == base / "train.txt" and found.read_text() == "a\tr\tb\n" and missing is None
    assert places.locate(tmp_path, spec, ["train.txt"])[0] == base
    pack("another, longer one")
    assert places.locate(tmp_path, spec, ["train.txt"])[1][0].read_text() == "another, longer one"
    (tmp_path / "umls.tar.gz").write_bytes((tmp_path / "umls.tar.gz").read_bytes()[:40])
    with pytest.raises(KAdapterError, match="umls.tar.gz: no whole archive .* expected a .tar or .tar.gz of files"):
        places.locate(tmp_path, spec, ["train.txt"])
    assert len(list((tmp_path / "cache" / "unpacked").iterdir())) == 2


def packed(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for info, content in members:
            info.size = info.size or len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def member(name: str, **more) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for key, value in more.items():
        setattr(info, key, value)
    return info


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([(member("train.txt"), bytes(1 << 20))] * 3, "found 3,145,728 bytes and more in .* at most 2,097,152 bytes"),
        ([(member(f"{i}"), b"") for i in range(30)], "found more than 20 files in"),
        ([(member("a", pax_headers={"comment": "x" * (1 << 21)}), b"")], "no whole archive .a header of"),
        ([(member("../../evil"), b"x")], "no whole archive .*outside the destination"),
        ([(member("link", type=tarfile.SYMTYPE, linkname="/etc/passwd"), b"")], "no whole archive .*absolute path"),
        ([(member("device", type=tarfile.CHRTYPE), b"")], "no whole archive .*special file"),
    ],
    ids=["bomb", "many", "header", "traversal", "link", "device"],
)
def test_an_archive_of_a_stranger_unpacks_to_no_more_and_nowhere_else(tmp_path, monkeypatch, members, said):
    monkeypatch.setenv("KADAPTER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(places, "SMALL", 1 << 21)
    monkeypatch.setattr(places, "MEMBERS", 20)
    packed(tmp_path / "umls.tar.gz", *members)
    before = sorted(path.name for path in tmp_path.parent.iterdir())
    with pytest.raises(KAdapterError, match=f"umls.tar.gz: .*{said}") as raised:
        places.locate(tmp_path, {"format": "graph_text", "path": "umls.tar.gz"}, ["train.txt"])
    assert "\n" not in str(raised.value)
    assert list((tmp_path / "cache" / "unpacked").iterdir()) == []
    assert sorted(path.name for path in tmp_path.parent.iterdir()) == before
