"""Stages in a SLURM queue, through submitit: one job a stage, all handed in at once, each waiting for those that it
needs. Jobs put their runs in place by themselves, in a folder that all nodes share."""

import json
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kadapter import runs
from kadapter.errors import KAdapterError
from kadapter.experiment import shares
from kadapter.experiment.executors import Running, latest
from kadapter.experiment.shares import Share
from kadapter.experiment.work import Outcome, Work, perform, write

FOLDER = ".slurm"  # in the folder of the preset's runs: scripts and logs of the jobs
OUTCOME = "outcome.json"
USUAL = Share(4, 0.0, 16.0)  # a node as the preset's silence takes it: half of it for what trains
HOURS = 24.0  # limit of a job's time where the preset names none
LOOK = 1.0  # seconds between looks at the jobs


class Slurm:
    """The queue that `sbatch` reaches; partition and account are those of SBATCH_PARTITION and SBATCH_ACCOUNT.

    Args:
        resources: what stages take, by kind: the preset's section.
        cluster: submitit's word for the queue: slurm, or local for processes of this machine (tests).

    Raises KAdapterError where submitit is not installed or no queue is reached.
    """

    remote = True

    def __init__(self, resources: Mapping[str, Mapping[str, Any]] | None = None, cluster: str = "slurm") -> None:
        try:
            import submitit
        except ImportError:
            raise KAdapterError("jobs of SLURM need the package submitit: pip install 'kadapter[cluster]'") from None
        self.submitit, self.cluster, self.resources = submitit, cluster, resources or {}
        self.ahead = cluster == "slurm"  # processes of this machine wait for nothing
        self.shares = shares.of_kinds({}, [USUAL]) | {
            kind: shares.named(kind, given, USUAL) for kind, given in self.resources.items()
        }
        self.jobs = 4  # at once, for the forecast: the queue knows
        self._jobs: dict[str, tuple[Work, Any]] = {}
        self._looked = 0.0

    def __enter__(self) -> "Slurm":
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def room(self) -> int:
        """Any number: the queue lets them wait."""
        return 10**6

    def start(self, work: Work, needs: list[str], alone: bool) -> None:
        """Hand a job in. Raises KAdapterError where there is no SLURM."""
        own = {name: value for name, value in os.environ.items() if name.startswith("KADAPTER_")}
        executor = self._executor(work, [self._jobs[need][1].job_id for need in needs])
        cpus = self.shares[work.id.split("/")[0]].cpus
        self._jobs[work.id] = work, executor.submit(_in_job, work, cpus, own)

    def _executor(self, work: Work, after: list[str]) -> Any:
        kind = work.id.split("/")[0]
        share = self.shares[kind]
        folder = work.final.parents[1] / FOLDER
        try:
            executor = self.submitit.AutoExecutor(folder=folder, cluster=self.cluster)
        except RuntimeError as error:
            raise KAdapterError(f"no SLURM queue is reached from {platform.node()}: {error}") from None
        hours = self.resources.get(kind, {}).get("hours") or HOURS
        more: dict[str, Any] = {"kill-on-invalid-dep": "yes"}
        if after:
            more["dependency"] = f"afterok:{':'.join(after)}"
        executor.update_parameters(
            name=f"kadapter-{work.id}",
            timeout_min=max(1, round(60 * hours)),
            slurm_cpus_per_task=share.cpus,
            slurm_additional_parameters=more,
            **({"slurm_gpus_per_node": max(1, round(share.gpus))} if share.gpus else {}),
            **({"slurm_mem": f"{max(1, round(share.memory))}GB"} if share.memory else {}),
        )
        return executor

    def ended(self) -> list[tuple[Work, Outcome]]:
        """The jobs that are no more in the queue."""
        if time.monotonic() - self._looked < LOOK:
            return []
        self._looked = time.monotonic()
        found = []
        for id_, (work, job) in list(self._jobs.items()):
            if job.done():
                del self._jobs[id_]
                found.append((work, _outcome(work, job)))
                work.remove()
        return found

    def running(self) -> dict[str, Running]:
        """Those that a node has begun."""
        told = {id_: latest(work.folder) for id_, (work, _) in self._jobs.items()}
        return {id_: running for id_, running in told.items() if running}

    def stop(self) -> None:
        """Take the jobs back, and remove what they wrote."""
        for _, job in self._jobs.values():
            job.cancel()
        until = time.monotonic() + 15
        while time.monotonic() < until and not all(job.done() for _, job in self._jobs.values()):
            time.sleep(0.2)
        for work, _ in self._jobs.values():
            work.remove()
        self._jobs.clear()


def _in_job(work: Work, cpus: int, variables: Mapping[str, str]) -> None:
    """The job. One whose stage failed fails, so that those that wait for it are not begun."""
    outcome = perform(work, cpus, variables, platform.node())
    work.folder.mkdir(parents=True, exist_ok=True)
    write(work.folder / OUTCOME, json.dumps(asdict(outcome)))
    if outcome.reason:
        raise KAdapterError(outcome.reason)


def _outcome(work: Work, job: Any) -> Outcome:
    told = runs.read_json(work.folder / OUTCOME)
    if told:
        return Outcome(**told)
    lines = [line for line in (job.stderr() or "").splitlines() if line.strip()]
    log = Path(job.paths.stderr)
    return Outcome(0.0, f"job {job.job_id} ended as {job.state} ({lines[-1] if lines else 'it said nothing'}); {log}")
