"""Notebooks opened by hand beside a finished `make run` show its runs, and make no smaller world again."""

import os
import shutil
from pathlib import Path

import nbformat
import pytest

from kadapter import runs
from kadapter.errors import KAdapterError
from kadapter.experiment import notebook_runs, stage_process
from tests import workbench

WHOLE = notebook_runs.WHOLE


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with what `make run` leaves, in tiny: every stage that a notebook may ask for is finished."""
    folder = workbench.make(tmp_path_factory.mktemp("place"))
    base = folder / "runs" / WHOLE
    (folder / "runs" / workbench.PRESET).rename(base)
    for name in ("F", "L"):
        run = runs.begin(base / "pretrain" / name, stage="pretrain", name=name, parameters={})
        shutil.copytree(folder / "F", run.folder / "adapter")
        run.finish({"f1": 0.5})
    for model in ("none", "L", "F+L"):
        name = f"typing-frozen-{model}"
        runs.begin(base / "finetune" / name, stage="finetune", name=name, parameters={}).finish({"f1": 0.5})
    return folder


def execute(place: Path, notebook: str, **parameters):
    """The cells of a notebook executed in this folder, as papermill executes it for the pipeline."""
    log = place / "log"
    process = stage_process.start(
        workbench.NOTEBOOKS / notebook, place / notebook, parameters, log, dict(os.environ), place
    )
    process.join()
    assert process.exitcode == 0, log.read_text()[-3000:]
    return nbformat.read(place / notebook, 4).cells


def test_they_are_chosen_as_soon_as_all_are_finished(place, monkeypatch):
    monkeypatch.chdir(place)
    assert notebook_runs.source() == WHOLE
    assert notebook_runs.run("finetune/typing-frozen-F") == Path("runs", WHOLE, "finetune/typing-frozen-F").resolve()
    assert notebook_runs.folder("runs/notebook/data/all") == Path("runs", WHOLE, "data/all").resolve()
    assert notebook_runs.folder("elsewhere/F") == Path("elsewhere/F").resolve()
    with pytest.raises(KAdapterError, match="unknown run of preset 'notebook' 'finetune/typing-frozen-G'"):
        notebook_runs.run("finetune/typing-frozen-G")
    hidden = place / "runs" / WHOLE / "pretrain" / "L"
    hidden.rename(place / "L")
    try:
        assert notebook_runs.source() == notebook_runs.PRESET
    finally:
        (place / "L").rename(hidden)


def test_fine_tuning_reads_their_data_and_adapters(place):
    training = {"epochs": 1, "batch_size": 8, "max_length": 64}
    given = {"dataset": "mentions", "seeds": [0], "training": training, "backbone": str(place / "backbone")}
    execute(place, "03_finetune.ipynb", **given)
    left = runs.load(place / "runs/notebook/finetune/typing-frozen-F").parameters
    assert left["data"] == str(place / "runs" / WHOLE / "data/all")
    assert left["adapters"] == {"F": str(place / "runs" / WHOLE / "pretrain/F")}


def test_the_case_study_shows_their_cases_and_nothing_smaller_is_made(place):
    execute(place, "04_case_study.ipynb")
    left = {run.id for run in runs.find(place / "runs", "notebook")}
    assert left <= {"cases/typing-frozen", "finetune/typing-frozen-F"} and "cases/typing-frozen" in left
    kept = runs.load(place / "runs/notebook/cases/typing-frozen")
    assert kept.data["n"] == 12  # as many as the tiny test set has
