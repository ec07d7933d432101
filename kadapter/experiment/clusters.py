"""Where a preset is executed, by the name that `kadapter run --on` takes."""

from collections.abc import Mapping
from typing import Any

from kadapter.errors import KAdapterError, unknown
from kadapter.experiment.executors import Executor, Processes

PLACES = ("here", "ray", "slurm")


def named(place: str, p: Mapping[str, Any], jobs: int | None = None, workers: int | None = None) -> Executor:
    """Who executes the stages of a preset.

    Args:
        place: `here`, `ray` (a cluster that is started and stopped), `ray://HOST:PORT`, or `slurm`.
        p: the preset, whose section `resources` says what stages take.
        jobs: stages at once, `here` alone.
        workers: nodes of a Ray cluster that is started.

    Raises KAdapterError for an unknown place, for an option that it does not take, and where its package is missing.
    """
    scheme, _, address = place.partition("://")
    if scheme not in PLACES or (address and scheme != "ray"):
        raise unknown("place", place, (*PLACES, "ray://HOST:PORT"))
    if workers is not None and place != "ray":
        raise KAdapterError(
            f"workers: found {workers} with --on {place}; expected --on ray, which starts as many nodes"
        )
    if jobs is not None and scheme != "here":
        raise KAdapterError(f"jobs: found {jobs} with --on {place}; there the resources of each stage decide")
    if scheme == "here":
        return Processes(jobs)
    if scheme == "ray":
        from kadapter.experiment.ray_cluster import RayCluster

        return RayCluster(place if address else "", 1 if workers is None else workers, p.get("resources"))
    from kadapter.experiment.slurm import Slurm

    return Slurm(p.get("resources"))
