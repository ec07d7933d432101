"""Files that are cut, flipped, zeroed, lengthened or removed: those of finished runs, of stores, of saved adapters and
models, and of an infusion. Nothing is trained: what is asked is whether damage is taken for whole."""

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kadapter import runs
from kadapter.errors import KAdapterError

OPTIONS = ("cut", "flip", "zero", "longer", "gone")
EACH = 25  # damaged files in one trial


def damage(path: Path, how: str, rng: random.Random) -> None:
    """Do it to a file. What is written is another content than before."""
    content = bytearray(path.read_bytes())
    if how == "gone":
        path.unlink()
        return
    if how == "cut":
        del content[rng.randrange(len(content)) :]
    elif how == "longer":
        content += rng.randbytes(rng.randint(1, 64))
    else:
        at = rng.randrange(len(content))
        before = bytes(content)
        if how == "zero":
            content[at : at + 512] = bytes(len(content[at : at + 512]))
        if how == "flip" or content == before:
            content[at] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


class Damaged:
    """Trials over the undisturbed runs of `embedded` and of an infusion.

    Args:
        folder: where they are: `undisturbed-embedded`, `undisturbed-infuse` and `ground`.
        copy: where they may be damaged.
    """

    def __init__(self, folder: Path, copy: Path) -> None:
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder / "undisturbed-embedded", copy / "embedded")
        shutil.copytree(folder / "undisturbed-infuse" / "pets", copy / "pets")
        self.base, self.ground = copy / "embedded" / "runs" / "embedded", folder / "ground" / "embedded"
        self.stores = copy / "embedded" / "cache" / "features"
        self.pets = copy / "pets"
        os.environ["KADAPTER_CACHE"] = str(copy / "embedded" / "cache")
        from kadapter.experiment import pipeline, preset

        loaded = preset.load(str(self.ground / "embedded.yaml"))
        self.pipeline = lambda: pipeline.Pipeline(loaded, self.base.parent, jobs=1, tell=lambda line: None)
        assert all(map(self.pipeline().is_finished, self.pipeline().stages)), "the undisturbed run is not finished"
        self.kinds: dict[str, tuple[list[Path], Callable[[Path], str]]] = {
            "run": (self._files(self.base), self._run),
            "store": (self._files(self.stores, "*/*"), self._store),
            "adapter": (self._files(self.base / "pretrain" / "F" / "adapter"), self._adapter),
            "model": (self._files(self.base / "finetune" / "typing-frozen-F" / "model"), self._model),
            "infusion": (self._files(self.pets), self._infusion),
        }

    @staticmethod
    def _files(folder: Path, pattern: str = "*") -> list[Path]:
        found = [path for path in sorted(folder.rglob(pattern)) if path.is_file() and path.stat().st_size]
        hidden = {path for path in found if path.name.startswith(".") or path.suffix == ".lock"}
        return [path for path in found if path not in hidden]

    def __call__(self, seed: int) -> tuple[dict[str, int], list[str]]:
        """Damage some files, one after the other, each put back; the faults by kind and what was found."""
        rng = random.Random(f"damage {seed}")
        done: dict[str, int] = {}
        found = []
        for _ in range(EACH):
            kind = rng.choice(list(self.kinds))
            files, taken_for_whole = self.kinds[kind]
            path, how = rng.choice(files), rng.choice(OPTIONS)
            facts, content = path.stat(), path.read_bytes()
            damage(path, how, rng)
            try:
                wrong = taken_for_whole(path)
            except Exception as error:  # of any kind: a traceback is what is looked for
                wrong = f"{type(error).__name__}: {error}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
            done[kind] = done.get(kind, 0) + 1
            if wrong:
                found.append(f"{kind} {path.name} {how}: {wrong[:300]}")
        return done, found

    # --- what is taken for whole, or a traceback; "" for what is as promised ---

    def _run(self, path: Path) -> str:
        """The pipeline makes a damaged run again, and what only looks at it ends in a sentence or a table."""
        from kadapter.report import report

        whole = {stage.id: self.pipeline().is_finished(stage) for stage in self.pipeline().stages}
        run = path.relative_to(self.base).parts[:2]
        told(lambda: report.rows(self.base.parent, "embedded"))
        told(lambda: runs.find(self.base.parent, "embedded"))
        free = path.name in (runs.GRAPH, "notebook.ipynb") or "cache" in path.parts
        if free or (path.name == runs.KEY and self._same_key(path)):
            return ""
        return f"{'/'.join(run)} counts as finished" if whole.get("/".join(run)) else ""

    def _same_key(self, path: Path) -> bool:
        """Whether a damaged stage.json still says the key and the hashes; what else it says changes nothing."""
        now = runs.read_json(path)
        return isinstance(now, dict) and now.get("key") is not None and bool(now.get("files"))

    def _store(self, path: Path) -> str:
        """A store is refused, so that it is built again."""
        from kadapter.training import features

        refused = (KAdapterError, OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, RuntimeError)
        told(lambda: features.stores(self.stores))
        try:
            store = features.FeatureStore(path.parent)
        except refused:
            return ""
        meta = json.loads((path.parent / features.META).read_text())
        if path.name == features.META and store.shape == tuple(meta["shape"]) and meta.get("sums"):
            return ""  # a word for people was changed
        return "the store is read"

    def _adapter(self, path: Path) -> str:
        """An adapter is refused in a sentence, or its numbers are those that were saved."""
        from kadapter import KnowledgeAdapter

        if (said := told(lambda: KnowledgeAdapter.from_pretrained(path.parent))) is None:
            return "" if not path.suffix == ".safetensors" else "the adapter is plugged"
        return said

    def _model(self, path: Path) -> str:
        from kadapter.model.knowledge_model import KnowledgeModel

        folder = self.base / "finetune" / "typing-frozen-F" / "model"
        if (said := told(lambda: KnowledgeModel.from_pretrained(folder))) is None:
            return "" if not path.suffix == ".safetensors" else "the model is loaded"
        return said

    def _infusion(self, path: Path) -> str:
        from kadapter import KnowledgeAdapter
        from kadapter.experiment.infusion import load
        from kadapter.report.infusion import page

        if path.suffix == ".json" and path.name == "infusion.json":
            return told(lambda: page(load(self.pets))) or ""
        said = told(lambda: KnowledgeAdapter.from_pretrained(self.pets))
        return ("the adapter is plugged" if path.suffix == ".safetensors" else "") if said is None else said


def told(do: Callable[[], Any]) -> str | None:
    """None if it was done; "" if it was refused in one sentence; what is wrong with the refusal otherwise."""
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            do()
    except KAdapterError as error:
        return "" if len(str(error).splitlines()) == 1 else f"more than a sentence: {error}"
    return None
