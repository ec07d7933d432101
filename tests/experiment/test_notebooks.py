"""Every notebook runs from plain papermill with its defaults, refuses a bad parameter, and is committed bare."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from kadapter import runs
from kadapter.experiment import stage_process

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(path.name for path in FOLDER.glob("*.ipynb"))
LEAVES = {
    "00_start_here.ipynb": "start/here",
    "01_build_data.ipynb": "data/all",
    "02_pretrain_adapter.ipynb": "pretrain/F",
    "02_pretrain_multitask.ipynb": "pretrain/multitask",
    "03_finetune.ipynb": "finetune/typing-frozen-F",
    "04_case_study.ipynb": "cases/typing-frozen",
    "05_probe.ipynb": "probe/all",
    "05_probe_lama.ipynb": "probe/lama-trex",
    "06_map_tuning.ipynb": "mapping/all",
    "07_report.ipynb": "report/all",
    "08_continual.ipynb": "continual/all",
    "09_your_own.ipynb": "infuse/own",
}
OTHER = {
    "05_probe.ipynb": "notebook-probe",
    "08_continual.ipynb": "notebook-continual",
    "06_map_tuning.ipynb": "notebook-map-tuning",
}  # notebooks whose runs are of another small preset than `notebook`


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """An empty folder that notebooks run in one after the other, as a person's would."""
    return tmp_path_factory.mktemp("place")


def test_every_notebook_is_known():
    assert NOTEBOOKS == sorted(LEAVES)


def execute(place, name, executed, **parameters) -> bool:
    """Whether papermill executed every cell of a notebook in this folder, as the pipeline calls it."""
    process = stage_process.start(FOLDER / name, executed, parameters, place / "log", dict(os.environ), place)
    process.join()
    return process.exitcode == 0


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_runs_with_its_defaults(place, name):
    executed = place / name
    assert execute(place, name, executed), (place / "log").read_text()[-3000:]
    left = runs.load(place / "runs" / OTHER.get(name, "notebook") / LEAVES[name])
    assert left.metrics and left.stage == LEAVES[name].split("/")[0]
    outputs = [o for cell in nbformat.read(executed, 4).cells if cell.cell_type == "code" for o in cell.outputs]
    assert not [o for o in outputs if o.output_type == "error"]
    if name not in ("01_build_data.ipynb",):  # pictures are plotly, and tables are there for who cannot click
        assert any("application/vnd.plotly.v1+json" in o.get("data", {}) for o in outputs)
    assert any("text/html" in o.get("data", {}) for o in outputs)


def test_the_first_notebook_shows_what_it_says(place):
    """A frozen model does not know; with the adapter it does; unplugged it does not. By a wide margin."""
    metrics = runs.load(place / "runs" / "notebook" / "start" / "here").metrics
    assert metrics["f1_F"] > metrics["f1_backbone"] + 0.3


def test_the_report_of_the_notebooks_runs(place):
    page = (place / "runs" / "notebook" / "report" / "all" / "report.html").read_text()
    assert "Plotly.newPlot" in page and "typing" in page
    assert not re.findall(r"<(?:script|img|link|iframe)[^>]*https?://", page)  # needs no network


def test_the_case_study_is_table_7(place):
    cells = nbformat.read(place / "04_case_study.ipynb", 4).cells
    outputs = [o.get("data", {}) for c in cells if c.cell_type == "code" for o in c.outputs]
    html = " ".join(data["text/html"] for data in outputs if "text/html" in data)
    for column in ("input", "true label", "model", "top-3 labels", "top-3 logits"):
        assert f">{column}<" in html


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("01_build_data.ipynb", {"datasets": {"d": {"format": "treks"}}}, "unknown format 'treks': .*known: .*trex_rc"),
        ("02_pretrain_adapter.ipynb", {"knowledge": "factal"}, "unknown knowledge 'factal': did you mean 'factual'"),
        ("03_finetune.ipynb", {"regime": "frosen"}, "unknown regime 'frosen': did you mean 'frozen'"),
        ("04_case_study.ipynb", {"model": "G"}, "unknown model of this case study 'G': .*known: F, backbone"),
        ("05_probe_lama.ipynb", {"probe": "lama-treks"}, "unknown probe 'lama-treks': did you mean 'lama-trex'"),
        ("07_report.ipynb", {"preset": "nothing"}, "preset 'nothing' has no finished fine-tuning run"),
        ("09_your_own.ipynb", {"minutes": 0}, "minutes: found 0; expected a number above 0"),
        ("00_start_here.ipynb", {"names": 0}, "names: found 0; expected a number from 1 to 20"),
    ],
)
def test_a_bad_parameter_fails_in_the_first_cell(place, name, parameters, message):
    assert not execute(place, name, place / "bad.ipynb", **parameters)
    cells = [c for c in nbformat.read(place / "bad.ipynb", 4).cells if c.cell_type == "code"]
    failed = [c for c in cells if any(o.output_type == "error" for o in c.outputs)]
    said = next(o.evalue for o in failed[0].outputs if o.output_type == "error")
    assert re.search(message, said), said
    own = [c for c in cells if not {"parameters", "injected-parameters"} & set(c.metadata.get("tags", []))]
    assert failed[0] is own[0] or failed[0].source == own[0].source


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_is_committed_bare_with_one_parameters_cell(name):
    notebook = nbformat.read(FOLDER / name, 4)
    nbformat.validate(notebook)
    code = [c for c in notebook.cells if c.cell_type == "code"]
    assert not any(c.outputs or c.execution_count for c in code)
    tagged = [c for c in code if "parameters" in c.metadata.get("tags", [])]
    assert tagged == code[:1]
    # notebooks call, modules compute: no classes, hardly a function
    source = "\n".join(c.source for c in code)
    assert not re.search(r"^class ", source, re.M) and len(re.findall(r"^def ", source, re.M)) <= 1


def test_plain_papermill_from_the_command_line(place):
    """The command of the documentation, in another process, with a parameter."""
    command = [sys.executable, "-m", "papermill", str(FOLDER / "02_pretrain_adapter.ipynb"), "out.ipynb"]
    more = ["-p", "knowledge", "linguistic", "-k", "python3", "--no-progress-bar"]
    subprocess.run([*command, *more], cwd=place, check=True, capture_output=True, timeout=250)
    assert json.loads((place / "runs/notebook/pretrain/L/result.json").read_text())["knowledge"] == "linguistic"
