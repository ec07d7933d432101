"""What every test stands on: nothing is fetched, shapes are checked, and real data comes from KADAPTER_DATA."""

import os
from pathlib import Path

# Before anything imports torch or transformers: no model hub, and no more threads than the smallest machine has.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", str(min(2, os.cpu_count() or 1)))

import hypothesis
import pytest
from jaxtyping import install_import_hook

# Every annotated shape and type in kadapter is checked when a test calls it. This comes before kadapter is imported.
install_import_hook("kadapter", "beartype.beartype")


# An example takes as long as the machine is slow or busy: time is limited for a whole test (pytest-timeout).
hypothesis.settings.register_profile("kadapter", deadline=None)
hypothesis.settings.load_profile("kadapter")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real sample data that KADAPTER_DATA names."""
    named = os.environ.get("KADAPTER_DATA")
    if not named:
        pytest.skip("KADAPTER_DATA is not set: it names the folder of real sample data")
    folder = Path(named).resolve()
    if not folder.is_dir():
        pytest.fail(f"KADAPTER_DATA={named}: no such folder")
    return folder


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory) -> Path:
    """A saved random BERT of 4 layers and width 32, with MiniLM's tokenizer."""
    from tests import tiny

    return tiny.make_backbone(tmp_path_factory.mktemp("tiny-backbone"))
