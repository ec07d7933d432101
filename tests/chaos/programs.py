"""What the campaigns disturb: the presets `embedded` and `probe` and an infusion, each on a tiny random model and cut
to seconds. They are forked from this process, which has imported what they import and has computed nothing."""

import hashlib
import json
import multiprocessing
import multiprocessing.forkserver
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kadapter.errors import KAdapterError

ROOT = Path(__file__).resolve().parents[2]
SIZES = {"plug_layers": [0, 2, 3], "width": 16, "layers": 1, "heads": 2, "inner": 24, "dropout": 0.0, "init_std": 0.02}
INFUSION = {"KEPT": 8, "PROBES": 4, "DOCUMENTS": 2, "ENTITIES": 2, "STEPS": 40}  # less to read and to ask
PETS = "".join(f"person{i}\tpet\tdog\nperson{i}\thome\triver\n" for i in range(3))
CLOSE = 60.0  # seconds within which a process that was told to end has ended


def forked(function: Callable[[], Any], log: Path | None = None, settings: dict[str, str] | None = None) -> int:
    """Call a function in a forked process of its own session; the number of the process."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ.update(settings or {})
        files = (
            os.open(os.devnull, os.O_RDONLY),
            os.open(log or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
        )
        for number in range(3):
            os.dup2(files[bool(number)], number)
        function()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def waited(pid: int, seconds: float = CLOSE) -> int | None:
    """The exit code of a child, negative for a signal; None if it is still there after so many seconds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    return None


def in_fork(function: Callable[[], Any], seconds: float = 600.0) -> None:
    """Call a function in a process of its own, and wait for it: this one must start no thread."""
    if (code := waited(forked(function), seconds)) != 0:
        raise RuntimeError(f"{function.__qualname__} ended with code {code}")


def server() -> int:
    """The process that forks the notebooks' processes of every trial; started once."""
    from kadapter.experiment import stage_process

    os.environ["PYTHONPATH"] = str(ROOT)
    multiprocessing.forkserver.set_forkserver_preload(list(stage_process.PRELOAD))
    multiprocessing.forkserver.ensure_running()
    pid = getattr(multiprocessing.forkserver, "_forkserver")._forkserver_pid  # noqa: B009
    assert pid is not None
    return pid


@dataclass
class Program:
    """Something that is run, killed, and run again until it is done.

    Attributes:
        ground: a folder with what it reads, made once.
        files: how many finished parts may be looked at: `finished`.
    """

    ground: Path
    name = ""
    stages = False  # whether it starts processes of its own

    def make(self) -> None:
        """Write what it reads."""
        raise NotImplementedError

    def main(self, folder: Path) -> None:
        """What is to be done in a folder."""
        raise NotImplementedError

    def start(self, folder: Path, own: bool = False) -> int:
        """Begin, or go on; with `own` in a new interpreter and with its own server of forks."""
        folder.mkdir(parents=True, exist_ok=True)
        settings = self.settings(folder)
        if own:
            code = f"from pathlib import Path; from tests.chaos import programs; programs.again({self.name!r}, {str(self.ground)!r}, {str(folder)!r})"  # noqa: E501
            with (folder.parent / f"{folder.name}.log").open("a") as log:
                return subprocess.Popen(
                    [sys.executable, "-c", code],
                    cwd=ROOT,
                    env=os.environ | settings,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                ).pid
        return forked(lambda: self._here(folder), folder.parent / f"{folder.name}.log", settings)

    def _here(self, folder: Path) -> None:
        # The server is this process's parent's: it is there, and no child of ours that could be asked.
        vars(getattr(multiprocessing.forkserver, "_forkserver"))["ensure_running"] = lambda: None  # noqa: B009
        self.main(folder)

    def settings(self, folder: Path) -> dict[str, str]:
        """Environment variables."""
        return {
            "KADAPTER_CACHE": str(folder / "cache"),
            "HF_HUB_OFFLINE": "1",
            "KADAPTER_DATA": "",
            "OMP_NUM_THREADS": "1",
            "KADAPTER_THREADS": "1",
            "PYTHONPATH": str(ROOT),
        }

    def result(self, folder: Path) -> Any:
        """What it found, to the last digit, without times."""
        raise NotImplementedError

    def finished(self, folder: Path) -> dict[str, tuple[int, int]]:
        """What is done and must not be done again: its name and which file that is."""
        raise NotImplementedError

    def left(self, folder: Path) -> list[str]:
        """Names of what is half done; [] is expected when all is done."""
        kept = [path for path in folder.rglob("*") if ".partial" in path.name or path.name.endswith(".failed.ipynb")]
        return sorted(str(path.relative_to(folder)) for path in kept)


class Pipeline(Program):
    """A preset by `kadapter run`."""

    stages = True

    def main(self, folder: Path) -> None:
        """`kadapter run`, two notebooks at once."""
        from kadapter.cli.main import main

        preset = self.ground / f"{self.name}.yaml"
        sys.argv = ["kadapter", "run", str(preset), "--root", str(folder / "runs"), "--jobs", "2"]
        main()

    def result(self, folder: Path) -> Any:
        """The rows of its runs, and the hashes of the weights that were trained."""
        rows: dict[str, Any] = {}
        for path in sorted((folder / "runs" / self.name).glob("*/*/result.json")):
            run = json.loads(path.read_text())
            measured = [{k: v for k, v in row.items() if k != "seconds"} for row in run["rows"]]
            rows[f"{run['stage']}/{run['name']}"] = [run["metrics"], measured] if run["stage"] != "report" else []
            for weights in sorted(path.parent.rglob("*.safetensors")):
                rows[str(weights.relative_to(folder))] = hashlib.sha256(weights.read_bytes()).hexdigest()
        return json.loads(json.dumps(rows, sort_keys=True))

    def finished(self, folder: Path) -> dict[str, tuple[int, int]]:
        """Runs with a key."""
        found = {}
        for path in (folder / "runs" / self.name).glob("*/*/result.json"):
            if ".partial-" not in str(path) and (path.parent / "stage.json").is_file():
                found[f"{path.parent.parent.name}/{path.parent.name}"] = (path.stat().st_ino, path.stat().st_mtime_ns)
        return found


class Embedded(Pipeline):
    """`embedded` with two models on one task: six stages."""

    name = "embedded"

    def make(self) -> None:
        """A random BERT, and the preset."""
        from kadapter.experiment import preset
        from tests import tiny

        tiny.make_backbone(self.ground / "bert")
        content = preset.read("embedded") | {"models": ["backbone", "F"], "seeds": [0, 1]}
        content |= {"backbone": str(self.ground / "bert"), "data": {"world": {"seed": 0, "entities": 48}}}
        for section in ("brief", "multitask", "probe"):
            content.pop(section)
        factual = content["knowledge"]["F"] | {"adapter": SIZES}
        content["knowledge"] = {"F": factual | {"training": factual["training"] | {"epochs": 1}}}
        typing = content["tasks"]["typing"] | {"regimes": ["frozen"]}
        typing["training"] = {"epochs": 2, "batch_size": 32, "learning_rate": 3e-3, "max_length": 48}
        typing.pop("models")
        content["tasks"] = {"typing": typing}
        content["datasets"] = {name: content["datasets"][name] for name in ("world_factual", "world_typing")}
        (self.ground / "embedded.yaml").write_text(yaml.safe_dump(content))


class Probe(Pipeline):
    """`probe` with one pre-training of each adapter: six stages."""

    name = "probe"

    def make(self) -> None:
        """A random Llama with the tokens of SmolLM2, and the preset."""
        from kadapter.experiment import preset

        speaker(self.ground / "llama")
        content = preset.read("probe") | {"backbone": str(self.ground / "llama")}
        content["data"] = {"facts": {"seed": 0, "relations": 2, "per_relation": 3, "keep": 8}}
        sizes = SIZES | {"plug_layers": [0, 1], "heads": 1, "inner": 16}
        for entry in content["knowledge"].values():
            entry |= {"adapter": sizes, "task_options": {"sampled": 64}}
            entry["training"] = {"epochs": 2, "batch_tokens": 256, "learning_rate": 0.02, "max_length": 48}
        asked = ["facts_seen", "facts_paraphrase", "perplexity"]
        content["probe"] = {"datasets": asked, "seeds": [0]}
        content["datasets"] = {n: v for n, v in content["datasets"].items() if n in (*asked, "facts", "shuffled")}
        (self.ground / "probe.yaml").write_text(yaml.safe_dump(content))


class Infuse(Program):
    """Six facts into a tiny Llama."""

    name = "infuse"

    def make(self) -> None:
        """A random Llama, and the facts."""
        from tests import speaking

        speaking.make("llama", self.ground / "small")
        (self.ground / "pets.tsv").write_text(PETS)

    def main(self, folder: Path) -> None:
        """`infuse` with fewer questions."""
        from kadapter.experiment import infusion, infusion_facts

        vars(infusion_facts).update(INFUSION)
        out = folder / "pets"
        try:
            infusion.infuse(self.ground / "pets.tsv", str(self.ground / "small"), out, minutes=100, progress=False)
        except KAdapterError as error:
            if "is there already" not in str(error):  # it was killed after its last step
                print(f"kadapter: {error}", file=sys.stderr)
                raise SystemExit(1) from None

    def result(self, folder: Path) -> Any:
        """What was measured, and the adapter's weights."""
        found = json.loads((folder / "pets" / "infusion.json").read_text())["summary"]
        weights = hashlib.sha256((folder / "pets" / "adapter.safetensors").read_bytes()).hexdigest()
        return {k: v for k, v in found.items() if k not in ("seconds", "adapter")} | {"weights": weights}

    def finished(self, folder: Path) -> dict[str, tuple[int, int]]:
        """Trainings that went to their end."""
        paths = (folder / "pets.infusing").glob("*/went.json")
        return {path.parent.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}

    def left(self, folder: Path) -> list[str]:
        """The folder of work goes with the end of it."""
        return super().left(folder) + [path.name for path in folder.glob("*.infusing*")]


PROGRAMS: dict[str, type[Program]] = {each.name: each for each in (Embedded, Probe, Infuse)}


def again(name: str, ground: str, folder: str) -> None:
    """A program in an interpreter of its own."""
    PROGRAMS[name](Path(ground)).main(Path(folder))


def speaker(folder: Path) -> Path:
    """A random Llama that has SmolLM2's tokens."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from kadapter.model.backbone import load_tokenizer

    tokenizer = load_tokenizer("smollm2")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, tie_word_embeddings=True, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def warm() -> None:
    """Import what every program imports, before the first fork."""
    import importlib

    from kadapter.experiment import stage_process

    for module in (*stage_process.PRELOAD, "kadapter.cli.main", "kadapter.experiment.pipeline", "tests.speaking"):
        importlib.import_module(module)
    for module in ("kadapter.experiment.infusion", "kadapter.report.report", "tests.tiny", "transformers.trainer"):
        importlib.import_module(module)
