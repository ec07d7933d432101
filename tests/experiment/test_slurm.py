"""Stages as jobs of SLURM: the scripts handed in to a queue, and jobs executed by submitit's local executor."""

import json
import re
from pathlib import Path

import pytest

from kadapter import runs
from kadapter.errors import KAdapterError
from kadapter.experiment import clusters, graph, pipeline, preset, shares
from kadapter.experiment.graph import Stage
from kadapter.experiment.pipeline import Pipeline
from kadapter.experiment.shares import Share
from kadapter.experiment.work import Work
from tests.toys import LEAVE, write_notebook

pytest.importorskip("submitit", reason="the extra cluster is not installed")

from kadapter.experiment.slurm import Slurm  # noqa: E402

SBATCH = """#!/bin/sh
for script; do :; done
number=$(($(ls {scripts} | wc -l) + 100))
cp "$script" {scripts}/$number
echo "Submitted batch job $number"
"""


@pytest.fixture
def queue(tmp_path, monkeypatch) -> Path:
    """A folder of the scripts that were handed in: what `sbatch` does here is keep them."""
    scripts, programs = tmp_path / "scripts", tmp_path / "bin"
    scripts.mkdir()
    programs.mkdir()
    for name, text in {"sbatch": SBATCH.format(scripts=scripts), "srun": "", "scancel": "", "sacct": ""}.items():
        (programs / name).write_text(text or "#!/bin/sh\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    return scripts


def handed_in(script: Path) -> dict[str, str]:
    """`#SBATCH --name=value` lines."""
    return dict(re.findall(r"^#SBATCH --([\w-]+)=(.*)$", script.read_text(), re.MULTILINE))


def test_a_job_for_each_stage_waits_for_those_that_it_needs(tmp_path, queue):
    p = preset.load("embedded", ["models=[backbone,F]", "tasks.typing.regimes=[frozen]", "tasks=[typing]"])
    p["resources"] = {"pretrain": {"cpus": 8, "gpus": 1, "memory": 30.0, "hours": 3.0}}
    stages = graph.graph(p)
    slurm = clusters.named("slurm", p)
    for stage in stages:
        final = tmp_path / "runs" / "embedded" / stage.id
        folder = final.with_name(f"{final.name}.partial")
        slurm.start(
            Work(stage.id, tmp_path / stage.notebook, {}, final, "", folder, tmp_path), list(stage.needs), False
        )
    ids = {stage.id: str(100 + place) for place, stage in enumerate(stages)}
    jobs = {stage.id: handed_in(queue / ids[stage.id]) for stage in stages}
    for stage in stages:
        job = jobs[stage.id]
        assert job["job-name"] == f"kadapter-{stage.id}" and job["kill-on-invalid-dep"] == "yes"
        wanted = f"afterok:{':'.join(ids[need] for need in stage.needs)}" if stage.needs else None
        assert job.get("dependency") == wanted, stage.id
    asked = {key: jobs["pretrain/F"][key] for key in ("cpus-per-task", "gpus-per-node", "mem", "time")}
    assert asked == {"cpus-per-task": "8", "gpus-per-node": "1", "mem": "30GB", "time": "180"}
    assert "gpus-per-node" not in jobs["report/all"] and jobs["report/all"]["cpus-per-task"] == "1"


def test_jobs_leave_the_runs_and_say_why_they_failed(tmp_path, monkeypatch):
    write_notebook(tmp_path / "a.ipynb", "out = name = None", LEAVE.format(stage="data", names=["name"]))
    write_notebook(tmp_path / "b.ipynb", "out = name = None", "1 / 0")
    good, bad = (
        Stage("a.ipynb", "data", "a", {"name": "a"}),
        Stage("b.ipynb", "cases", "b", {"name": "b"}, needs=["data/a"]),
    )
    monkeypatch.setattr(pipeline, "graph", lambda p: [good, bad])
    said: list[str] = []
    base = tmp_path / "runs" / "toy"
    failed = re.escape(
        f"stage cases/b failed: ZeroDivisionError: division by zero\nThe executed notebook: {base}/cases/b.f"
    )
    with pytest.raises(KAdapterError, match=failed):
        Pipeline(
            {"name": "toy"}, tmp_path / "runs", notebooks=tmp_path, tell=said.append, executor=Slurm(cluster="local")
        ).run()
    assert runs.load(base / "data" / "a").parameters == {"name": "a"}
    assert json.loads((base / "data" / "a" / "stage.json").read_text())["notebook"] == "a.ipynb"
    assert [path.name for path in base.rglob("*.partial-*")] == []


def test_without_a_queue_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    work = Work("data/all", tmp_path / "a.ipynb", {}, tmp_path / "toy" / "data" / "all", "", tmp_path / "x", tmp_path)
    with pytest.raises(KAdapterError, match="no SLURM queue is reached from "):
        Slurm().start(work, [], alone=False)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"place": "rai"}, "unknown place 'rai': did you mean 'ray'"),
        ({"place": "slurm://x"}, "unknown place 'slurm://x'"),
        ({"place": "here", "workers": 2}, "workers: found 2 with --on here; expected --on ray"),
        ({"place": "slurm", "jobs": 2}, "jobs: found 2 with --on slurm; there the resources of each stage decide"),
    ],
)
def test_places_that_are_none(arguments, sentence):
    with pytest.raises(KAdapterError, match=re.escape(sentence)):
        clusters.named(p={}, **arguments)


def test_what_stages_take_of_a_node():
    node = Share(16, 4.0, 128.0)
    found = shares.of_kinds({"finetune": {"gpus": 0.5, "memory": 8.0}}, [Share(2), node])
    assert (found["pretrain"], found["finetune"]) == (Share(4, 1.0), Share(4, 0.5, 8.0)) and found["report"] == Share(1)
    assert node.holds(found["finetune"]) == 4 and node.holds(found["report"]) == 16 and Share(2).holds(node) == 0
    assert shares.of_kinds({}, [Share(8)])["continual"] == Share(4)
