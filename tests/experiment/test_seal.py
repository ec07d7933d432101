"""What a damaged run is taken for."""

import hashlib
import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kadapter import runs
from kadapter.experiment import seal


def sealed(folder):
    (folder / "adapters").mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_text('{"f1": 0.5}')
    (folder / "adapters" / "w.bin").write_bytes(bytes(range(256)))
    (folder / "notebook.ipynb").write_text("{}")
    (folder / runs.KEY).write_text(json.dumps({"key": "k", seal.FILES: seal.of(folder)}))
    return folder


def test_every_file_but_the_notebook_is_sealed(tmp_path):
    found = seal.of(sealed(tmp_path / "run"))
    assert found == {
        "adapters/w.bin": [256, hashlib.sha256(bytes(range(256))).hexdigest()],
        "result.json": [11, hashlib.sha256(b'{"f1": 0.5}').hexdigest()],
    }


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_changed_byte_and_no_cut_passes(tmp_path, data):
    folder = sealed(tmp_path / "run")
    assert not seal.broken(folder)
    path = folder / data.draw(st.sampled_from(["result.json", "adapters/w.bin"]))
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[at] ^= 1 << data.draw(st.integers(0, 7))
        expected = "has other content than when it was written"
    else:
        del content[at:]
        expected = f"has {at:,} bytes of"
    path.write_bytes(content)
    assert expected in seal.broken(folder)


def test_what_is_missing_and_what_has_no_seal(tmp_path, monkeypatch):
    folder = sealed(tmp_path / "run")
    (folder / "adapters" / "w.bin").unlink()
    assert seal.broken(folder) == "adapters/w.bin is missing"
    (folder / runs.KEY).write_text('{"key": "k"}')
    assert not seal.broken(folder), "a run of an earlier version"
    monkeypatch.setattr(seal, "HASHED", 5)
    assert seal.of(folder) == {"result.json": [11, None]}
