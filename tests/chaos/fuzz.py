"""Bad input: records of every format, presets, overrides, configurations and parameters, mutated at random. Each ends
in what was read or in one sentence, within seconds and a bounded memory; never in a traceback."""

import functools
import json
import random
import re
import time
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from kadapter.errors import KAdapterError

EACH = 60  # mutated texts in one trial
COPIES = 12  # of a sample's records in one file
SLOWEST = 5.0  # seconds
MEMORY, FLOOR = 10, 2**25  # times the size of a file may be taken, or so many bytes
MEASURED = 15  # of how many texts one is measured: tracing takes time

NASTY: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2**31, 2**63, 10**400, -(10**20), 0.5, -0.0, 1e308, float("nan"), float("inf"), "", " ", "x",
    "\x00", "\u202e", "\ud7ff", "𝔘", "../../evil", "/etc/passwd", "a" * 5000, [], {}, [[]], [None], {"": None},
    [1, "a", None], {"a": {"b": {"c": []}}}, "NaN", "1e5", "<script>", "${HOME}", "%s%n", "-", "~", "!!python/name:os",
)  # fmt: skip


def text_mutated(text: str, rng: random.Random) -> str:
    """A text with a few mistakes."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(text) + 1)
        upto = min(len(text), at + rng.choice((1, 1, 3, 20)))
        kind = rng.randrange(9)
        if kind == 0:
            text = text[:at] + text[upto:]
        elif kind == 1:
            text = (
                text[:at]
                + rng.choice(("\t", "\n", "\r\n", '"', "'", "\\", "{", "}", "[", "]", ",", ":", "#"))
                + text[at:]
            )
        elif kind == 2:
            text = text[:at] + chr(rng.choice((0, 7, 0x85, 0x2028, 0xFEFF, 0x1F600, 0x300))) + text[upto:]
        elif kind == 3:
            text = text[:at] + text[at:upto] * rng.choice((2, 50)) + text[upto:]
        elif kind == 4:
            text = text[:at]
        elif kind == 5:
            text = re.sub(r"-?\d+", lambda m: str(rng.choice(NASTY[2:12])) if rng.random() < 0.1 else m[0], text)
        elif kind == 6:
            lines = text.split("\n")
            rng.shuffle(lines)
            text = "\n".join(lines)
        elif kind == 7:
            text = text[:at] + "[" * rng.choice((5, 3000)) + text[at:]
        else:
            other = rng.randrange(len(text) + 1)
            text = text[:at] + text[other : other + 40] + text[at:]
    return text


def value_mutated(value: Any, rng: random.Random) -> Any:
    """A tree of JSON with one leaf or branch exchanged, left out, doubled or renamed."""
    paths = list(_paths(value))
    path = rng.choice(paths)
    if not path:
        return rng.choice(NASTY)
    whole = json.loads(json.dumps(value))
    parent = whole
    for key in path[:-1]:
        parent = parent[key]
    act = rng.randrange(4)
    if act == 0 and isinstance(parent, dict):
        parent[rng.choice(("", "x", f"{path[-1]}s", "__class__"))] = parent.pop(path[-1])
    elif act == 1:
        del parent[path[-1]]
    else:
        parent[path[-1]] = rng.choice(NASTY)
    return whole


def _paths(value: Any, path: tuple = ()) -> Iterator[tuple]:
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from _paths(each, (*path, key))


def content_mutated(text: str, rng: random.Random) -> bytes:
    """The bytes of a mutated sample: by its JSON where it has some, by its text, or by its bytes."""
    lines = text.split("\n")
    act = rng.randrange(4)
    if act == 0 and text.lstrip().startswith(("[", "{")):
        try:
            return json.dumps(value_mutated(json.loads(text), rng)).encode("utf-8", "surrogatepass")
        except ValueError:  # JSON lines
            place = rng.randrange(len(lines))
            if lines[place].strip():
                lines[place] = json.dumps(value_mutated(json.loads(lines[place]), rng))
            return "\n".join(lines).encode("utf-8", "surrogatepass")
    if act == 1:
        content = bytearray(text.encode())
        for _ in range(rng.choice((1, 3, 30))):
            content[rng.randrange(len(content))] = rng.randrange(256)
        return bytes(content)
    return text_mutated(text, rng).encode("utf-8", "surrogatepass")


def many(text: str, copies: int) -> str:
    """A sample with its records so many times over."""
    try:
        whole = json.loads(text)
    except ValueError:
        return (text if text.endswith("\n") else text + "\n") * copies
    return json.dumps(whole * copies) if isinstance(whole, list) else text


class Fuzz:
    """Trials; `folder` is for the files that are read."""

    def __init__(self, folder: Path) -> None:
        from kadapter.experiment import preset
        from tests.formats.test_formats import SAMPLES

        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.samples = {
            name: (module, file, many(text, COPIES), n) for name, (module, file, text, n) in SAMPLES.items()
        }
        self.presets = {name: preset.read(name) for name in preset.names()}
        self.kinds = {"record": 12, "preset": 2, "override": 1, "configuration": 2, "parameter": 3}
        self.number = 0

    def __call__(self, seed: int) -> tuple[dict[str, int], list[str]]:
        """Some mutated texts; how many records and values, and what was found."""
        rng = random.Random(f"fuzz {seed}")
        done: dict[str, int] = {}
        found = []
        for _ in range(EACH):
            self.number += 1
            kind = rng.choices(list(self.kinds), list(self.kinds.values()))[0]
            count, name, size, do = getattr(self, f"_{kind}")(rng)
            done[kind] = done.get(kind, 0) + count
            if wrong := self._tried(do, size):
                found.append(f"{name}: {wrong[:400]}")
        return done, found

    def _tried(self, do: Callable[[], Any], size: int) -> str:
        """What is wrong; "" for what is as promised."""
        measured = self.number % MEASURED == 0
        if measured:
            tracemalloc.start()
        begun = time.monotonic()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                do()
        except KAdapterError as error:
            if len(str(error).splitlines()) != 1:
                return f"more than a sentence: {error!r}"
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        finally:
            seconds = time.monotonic() - begun
            peak = tracemalloc.get_traced_memory()[1] if measured else 0
            tracemalloc.stop()
        if seconds > SLOWEST:
            return f"took {seconds:.1f} s"
        return f"took {peak:,} bytes for {size:,}" if peak > max(MEMORY * size, FLOOR) else ""

    # --- what is mutated: how much it counts for, its name, its size, and what to do with it ---

    def _record(self, rng: random.Random):
        name = rng.choice(list(self.samples))
        module, file, text, records = self.samples[name]
        content = content_mutated(text, rng)
        if name == "openqa":  # its other file stands beside it
            from tests.formats.test_formats import put

            path = put(self.folder, name, text)
        else:
            path = self.folder / file
        path.write_bytes(content)

        def read() -> None:
            for _ in module.read(path):
                pass

        return (
            records * (1 if text.lstrip().startswith("{") and "\n" not in text.strip() else COPIES),
            name,
            len(content),
            read,
        )

    def _preset(self, rng: random.Random):
        from kadapter.experiment import preset

        name = rng.choice(list(self.presets))
        content = self.presets[name]
        if rng.random() < 0.6:
            text = yaml.safe_dump(value_mutated(content, rng), allow_unicode=True)
        else:
            text = text_mutated(yaml.safe_dump(content), rng)
        path = self.folder / f"{name}.yaml"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        return 1, f"preset {name}", len(text), lambda: preset.load(str(path))

    def _override(self, rng: random.Random):
        from kadapter.experiment import preset

        name = rng.choice(list(self.presets))
        paths = [".".join(map(str, path)) for path in _paths(self.presets[name]) if path]
        given = f"{rng.choice(paths)}={rng.choice((json.dumps(rng.choice(NASTY)), str(rng.choice(NASTY))))}"
        if rng.random() < 0.3:
            given = text_mutated(given, rng)
        return 1, f"--set {given[:80]!r} of {name}", len(given), lambda: preset.load(name, [given])

    def _configuration(self, rng: random.Random):
        name, read, content = rng.choice(self._configurations())
        text = json.dumps(value_mutated(content, rng))
        if rng.random() < 0.3:
            text = text_mutated(text, rng)
        path = self.folder / name
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        return 1, name, len(text), lambda: read(path)

    def _configurations(self) -> list[tuple[str, Callable, dict]]:
        from kadapter.hub import config_files
        from tests import tiny

        made = {"name": "minilm", "revision": None, "fingerprint": "0" * 64}
        sizes = tiny.sizes().to_dict()
        adapter = {"format_version": 1, "adapter": sizes, "backbone": made, "trained_on": {}, "sha256": {}}
        model = {
            "format_version": 1, "backbone": made, "fusion": "concat", "slots": ["F"], "adapters": {"F": sizes},
            "regime": "frozen", "task": {"name": "relation", "options": {"labels": ["a", "b"]}}, "tuning": {},
        }  # fmt: skip
        mapping = {
            "format_version": 1, "name": "m", "width": 8, "hidden_size": 16, "hidden": None, "backbone": made,
            "embeddings": {"entities": 3, "fingerprint": "0", "path": None},
        }  # fmt: skip
        return [
            ("adapter_config.json", lambda path: config_files.known(config_files.read_config(path), path), adapter),
            ("model_config.json", config_files.read_model, model),
            ("mapping_config.json", config_files.read_mapping, mapping),
        ]

    def _parameter(self, rng: random.Random):
        name, (known, take) = rng.choice(list(_taking().items()))
        given = {rng.choice((*known, "x")): rng.choice(NASTY) for _ in range(rng.randint(1, 3))}
        return len(given), f"{name} {given!r:.80}", 100, lambda: take(given)


@functools.cache
def _taking() -> dict[str, tuple[list[str], Callable[[dict], Any]]]:
    """What takes values from outside, their names, and how they are given to it; nothing of their size is built."""
    from kadapter import catalog, values
    from kadapter.knowledge import pararel_facts
    from kadapter.model.config import AdapterConfig
    from kadapter.model.tuning_config import TUNINGS, tuning
    from kadapter.training.settings import Settings
    from kadapter.world.corpora import World

    def names(source: Any, leave_out: tuple[str, ...] = ()) -> list[str]:
        return list(values.of(source, leave_out).model_fields)

    found: dict[str, tuple[list[str], Callable[[dict], Any]]] = {
        "adapter": (names(AdapterConfig), AdapterConfig.from_dict),
        "settings": (names(Settings), Settings.from_dict),
        "world": (names(World), lambda given: values.check(World, given)),
        "facts": (names(pararel_facts.build, ("out",)), lambda given: values.check(pararel_facts.build, given)),
    }
    for name in catalog.TASKS:
        own = names(catalog.task_class(name), catalog.NO_OPTIONS)
        found[f"task {name}"] = (own, lambda given, name=name: catalog.task(name, labels=["a", "b"], **given))
    for kind, source in TUNINGS.items():
        found[f"tuning {kind}"] = (names(source), lambda given, kind=kind: tuning(kind, given))
    return found
