"""What `kadapter doctor` looks at: whether this environment can run the workbench, one line for each thing."""

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from kadapter import runs
from kadapter.errors import KAdapterError

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


class Check(NamedTuple):
    """One thing looked at: whether it is as it should be, what was found, and whether nothing works without it."""

    name: str
    good: bool
    found: str
    needed: bool = True


def checks() -> Iterator[Check]:
    """Every check, in the order in which one would mend what is broken."""
    recent = sys.version_info >= (3, 11)
    yield Check("python", recent, f"{platform.python_version()} at {sys.executable} (3.11 or newer)")
    yield _packages()
    yield _torch()
    yield _precision()
    yield _threads()
    yield _packaged("minilm")
    yield _packaged("smollm2", needed=False)
    yield _kernel()
    notebooks = runs.notebooks_folder()
    count = len(list(notebooks.glob("*.ipynb")))
    yield Check("notebooks", count > 0, f"{count} in {notebooks}")
    machine = runs.machine()
    yield Check("machine", True, f"{machine['cores']} cores, {machine['memory_gib']} GiB, {machine['processor']}")
    yield _stores()
    yield _data()
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    absent = f"none of {', '.join(BROWSERS)}: the browser tests are skipped"
    yield Check("browser", browser is not None, browser or absent, needed=False)


def _packages() -> Check:
    """The packages that pyproject.toml asks for, by the installed metadata of kadapter."""
    from packaging.requirements import Requirement

    wrong = []
    wanted = [Requirement(text) for text in importlib.metadata.requires("kadapter") or ()]
    wanted = [r for r in wanted if r.marker is None or r.marker.evaluate({"extra": ""})]
    for requirement in wanted:
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{requirement.name} is not installed")
        else:
            if not requirement.specifier.contains(version, prereleases=True):
                wrong.append(f"{requirement.name} is {version}, expected {requirement.specifier}")
    return Check("packages", not wrong, "; ".join(wrong) or f"{len(wanted)} as pyproject.toml asks")


def _torch() -> Check:
    try:
        import torch
    except (ImportError, OSError) as error:
        return Check("torch", False, str(error))
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "processor only"
    return Check("torch", True, f"{torch.__version__}, {device}")


def _precision() -> Check:
    try:
        from kadapter.machine.device import best_device, told_precision

        return Check("precision", True, told_precision(best_device()))
    except (ImportError, OSError, KAdapterError) as error:
        return Check("precision", False, str(error))


def _threads() -> Check:
    from kadapter.machine import threads

    try:
        return Check("threads", True, threads.told())
    except KAdapterError as error:
        return Check("threads", False, str(error))


def _packaged(name: str, needed: bool = True) -> Check:
    """A backbone's weights in its installed package; nothing is unpacked."""
    try:
        from kadapter.model.packaged import PACKAGED

        return Check(name, True, f"{PACKAGED[name].find()} (SHA-256 as published)", needed)
    except (ImportError, KAdapterError) as error:
        return Check(name, False, str(error), needed)


def _kernel() -> Check:
    """The Jupyter kernel that papermill starts is this Python."""
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # as the pipeline sets it
    try:
        command = KernelSpecManager().get_kernel_spec("python3").argv[0]
    except NoSuchKernel:
        return Check("jupyter kernel", False, "there is none named python3: pip install ipykernel")
    # Jupyter replaces a bare "python" by the interpreter that it runs in.
    mine = command.startswith("python") or Path(command).resolve() == Path(sys.executable).resolve()
    return Check("jupyter kernel", mine, "python3 is this Python" if mine else f"python3 is {command}, not this Python")


def _stores() -> Check:
    try:
        from kadapter.training.features import told_cache

        return Check("feature stores", True, told_cache())
    except (ImportError, OSError, KAdapterError) as error:
        return Check("feature stores", False, str(error))


def _data() -> Check:
    named = os.environ.get("KADAPTER_DATA")
    if not named:
        return Check("KADAPTER_DATA", False, "not set: presets on real data need --set data.path=FOLDER", needed=False)
    there = Path(named).is_dir() and any(Path(named).iterdir())
    return Check("KADAPTER_DATA", there, f"{named}{'' if there else ': no folder, or an empty one'}", needed=False)
