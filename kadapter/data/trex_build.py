"""Factual pre-training data from T-REx's documents (section 3.3 of the paper: relations with fewer than 50 entity pairs
are left out; 430 relations and 5.5 million sentences are left), or from the sentences of LAMA.

Two passes: source files become parts (`trex_parts`), in parallel; then rare relations are found and what is
left is divided and written as T-REx-rc. Memory holds 20 bytes of each example at a time, whatever the sources' size.
"""

import functools
import hashlib
import os
import shutil
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from kadapter import runs
from kadapter.data import trex_card
from kadapter.data.trex_parts import Source, batches, extract, sources, stats_of
from kadapter.errors import KAdapterError, unknown
from kadapter.formats.files import replacing

RARITY = ("entity_pairs", "examples")
SUFFIXES = {"trex": (".json",), "lama": (".jsonl",)}  # kind of source -> its files
EXCLUDED, TOO_LONG, RARE = "excluded relation", "too long", "rare relation"


@dataclass(frozen=True)
class Settings:
    """What a build keeps and how it is divided.

    rarity: what is counted of a relation: distinct pairs of subject and object (the paper), or examples (the official
    code). minimum: a relation with fewer is left out. exclude: relations left out whatever their size; the official
    code leaves out P31. max_tokens: words of the longest sentence, None for any. dev_share: share of the sentences that
    go to dev.json; no sentence goes to both.
    """

    rarity: str = "entity_pairs"
    minimum: int = 50
    exclude: tuple[str, ...] = ()
    max_tokens: int | None = None
    dev_share: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.rarity not in RARITY:
            raise unknown("rarity", self.rarity, RARITY)
        if not 0 <= self.dev_share < 1:
            raise KAdapterError(f"dev_share is {self.dev_share}; expected a share from 0 to below 1")
        if self.max_tokens is not None and self.max_tokens < 2:
            raise KAdapterError(f"max_tokens is {self.max_tokens}; expected at least 2, a subject and an object")


def build(
    source: Path | str,
    out: Path | str,
    settings: Settings | None = None,
    *,
    kind: str = "trex",
    jobs: int | None = None,
    keep_parts: bool = False,
) -> dict[str, Any]:
    """Make the folder `out` of T-REx-rc data from documents; returns its card.

    Args:
        source: a folder or a zip of JSON files, or one file, gzipped or not; of LAMA its folder or the one of T-REx.
        kind: "trex", or "lama" for the sentences of LAMA's T-REx.
        jobs: files read at once; as many as there are cores.
        keep_parts: keep `<out>.parts`, so that other settings do not read the sources again.

    Writes `train.json`, `dev.json` (with a dev_share of 0 only the former), `relations.json` (relation -> integer),
    `README.md`, `card.json`, `relations.csv` and `relations.html`. They come into being together, in place of an
    earlier build; a build that was stopped goes on with the parts in `<out>.parts`. The same sources and settings give
    the same bytes, whatever `jobs`.

    Raises KAdapterError for a source without files, a broken file, a folder `out` that is no build, and settings that
    leave nothing.
    """
    settings = settings or Settings()
    source, out = Path(source).expanduser(), Path(out).expanduser()
    if kind not in SUFFIXES:
        raise unknown("kind of source", kind, SUFFIXES)
    if out.exists() and not (out / trex_card.CARD).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise KAdapterError(f"{out} would be replaced, but is no earlier build: choose another folder")
    if jobs is not None and jobs < 1:
        raise KAdapterError(f"jobs is {jobs}; expected at least 1")
    if kind == "lama" and (source / "TREx").is_dir():
        source = source / "TREx"
    found = sources(source, SUFFIXES[kind])
    folder = out.with_name(f"{out.name}.parts")
    folder.mkdir(parents=True, exist_ok=True)
    parts = [one.part(folder, kind) for one in found]
    _extract_all([(s, p) for s, p in zip(found, parts, strict=True) if not p.exists()], len(found), kind, jobs)
    about = {"source": str(source), "kind": kind, "files": len(found), "settings": asdict(settings)}
    card = _assemble(parts, out, settings, about)
    if not keep_parts:
        shutil.rmtree(folder, ignore_errors=True)
    return card


def _extract_all(todo: Sequence[tuple[Source, Path]], total: int, kind: str, jobs: int | None) -> None:
    bar = tqdm(total=total, initial=total - len(todo), desc="read", unit="file", leave=False)
    jobs = min(jobs or runs.cores(), len(todo))
    with bar:
        if jobs <= 1:
            for source, part in todo:
                extract(source, part, kind)
                bar.update()
            return
        # Workers start anew: a process that has loaded Arrow cannot be forked safely. Ctrl-C is for this process alone.
        ignoring = functools.partial(signal.signal, signal.SIGINT, signal.SIG_IGN)
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=ignoring) as pool:
            waiting: set[Future] = set()
            rest = iter(todo)
            while True:  # no more than are at work: leaving the block waits for all that were handed out
                waiting |= {pool.submit(extract, *one, kind) for one in islice(rest, jobs - len(waiting))}
                if not waiting:
                    return
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for one in done:
                    one.result()
                    bar.update()


class _Table:
    """Relation, subject-object pair and sentence of every example, as numbers."""

    def __init__(self, parts: Sequence[Path], settings: Settings, dropped: Counter[str]) -> None:
        self.codes: dict[str, int] = {}
        relation, pair, sentence = [], [], []
        for part in parts:
            for batch in batches(part, ["relation", "tokens", "pair", "sentence"]):
                codes, short = self.coded(batch, settings.max_tokens)
                wanted = ~np.isin(codes, [self.codes[name] for name in settings.exclude if name in self.codes])
                dropped[EXCLUDED] += int((~wanted).sum())
                dropped[TOO_LONG] += int((wanted & ~short).sum())
                relation.append(codes[wanted & short])
                pair.append(batch["pair"].to_numpy()[wanted & short])
                sentence.append(batch["sentence"].to_numpy()[wanted & short])
        self.relation = np.concatenate([np.empty(0, np.int32), *relation])
        self.pair = np.concatenate([np.empty(0, np.uint64), *pair])
        self.sentence = np.concatenate([np.empty(0, np.uint64), *sentence])

    def coded(self, batch: Any, max_tokens: int | None) -> tuple[np.ndarray, np.ndarray]:
        """Each row's relation as a number, and whether it is short enough."""
        names = batch["relation"].dictionary.to_pylist()
        numbers = np.array([self.codes.setdefault(name, len(self.codes)) for name in names], np.int32)
        tokens = batch["tokens"].to_numpy()
        return numbers[batch["relation"].indices.to_numpy()], tokens <= (max_tokens or tokens.max(initial=0))

    def frequencies(self) -> dict[str, dict[str, int]]:
        """Relation -> number of its examples and of its distinct pairs, most frequent first."""
        examples = np.bincount(self.relation, minlength=len(self.codes))
        order = np.lexsort((self.pair, self.relation))
        relation, pair = self.relation[order], self.pair[order]
        first = np.ones(len(order), bool)
        first[1:] = (relation[1:] != relation[:-1]) | (pair[1:] != pair[:-1])
        pairs = np.bincount(relation[first], minlength=len(self.codes))
        found = {
            name: {"examples": int(examples[code]), "entity_pairs": int(pairs[code])}
            for name, code in self.codes.items()
            if examples[code]
        }
        return dict(sorted(found.items(), key=lambda item: (-item[1]["examples"], trex_card.numeric(item[0]))))


def _assemble(parts: Sequence[Path], out: Path, settings: Settings, about: dict[str, Any]) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    broken: list[str] = []
    for part in parts:
        stats = stats_of(part)
        counts.update(stats["counts"])
        dropped.update(stats["dropped"])
        broken += stats["broken"]
    table = _Table(parts, settings, dropped)
    frequencies = table.frequencies()
    kept = [name for name, row in frequencies.items() if row[settings.rarity] >= settings.minimum]
    codes = [table.codes[name] for name in kept]
    left = np.isin(table.relation, codes)
    dropped[RARE] = int((~left).sum())
    dropped = Counter({reason: count for reason, count in dropped.most_common() if count})
    sentences = np.unique(table.sentence[left])
    dev_size = max(1, round(settings.dev_share * len(sentences))) if settings.dev_share else 0
    if dev_size >= len(sentences):
        lost = ", ".join(f"{count} {reason}" for reason, count in dropped.items()) or "nothing"
        raise KAdapterError(
            f"{about['source']}: {len(sentences)} sentences are left of {counts['triples']} triples (dropped: {lost}); "
            f"expected more than {dev_size}: a relation needs {settings.minimum} {settings.rarity}, see minimum"
        )
    dev = np.sort(np.random.default_rng(settings.seed).choice(sentences, dev_size, replace=False))
    numbers = {name: i for i, name in enumerate(sorted(kept, key=trex_card.numeric))}
    partial = out.with_name(f"{out.name}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        written = _write(parts, partial, table, codes, settings, dev)
        card = {
            **about, **{key: counts[key] for key in ("documents", "triples")}, "examples": written,
            "relations": len(kept), "dropped": dict(dropped), "broken": broken[:100],
            "sha256": {f"{split}.json": _digest(partial / f"{split}.json") for split in written},
        }  # fmt: skip
        trex_card.write(partial, card, numbers, frequencies)
        runs.replace(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return card


def _write(
    parts: Sequence[Path],
    folder: Path,
    table: _Table,
    codes: Sequence[int],
    settings: Settings,
    dev: np.ndarray,
) -> dict[str, int]:
    """Writes both splits; the number of examples of each."""
    written = {"train": 0} | ({"dev": 0} if len(dev) else {})
    with ExitStack() as opened:
        files = {split: opened.enter_context(replacing(folder / f"{split}.json")) for split in written}
        for record, in_dev in _kept(parts, table, codes, settings.max_tokens, dev):
            split = "dev" if in_dev else "train"
            files[split].write(("[\n" if written[split] == 0 else ",\n") + record)
            written[split] += 1
        for file in files.values():
            file.write("\n]\n")
    return written


def _kept(
    parts: Sequence[Path], table: _Table, codes: Sequence[int], max_tokens: int | None, dev: np.ndarray
) -> Iterator[tuple[str, bool]]:
    """The JSON of every example that stays, and whether it belongs to dev."""
    for part in tqdm(parts, desc="write", unit="file", leave=False):
        for batch in batches(part):
            relation, short = table.coded(batch, max_tokens)
            rows = np.flatnonzero(np.isin(relation, codes) & short)
            sentence = batch["sentence"].to_numpy()[rows]
            if len(dev):  # sorted, and too long for np.isin
                in_dev = dev[np.searchsorted(dev, sentence).clip(max=len(dev) - 1)] == sentence
            else:
                in_dev = np.zeros(len(rows), bool)
            records = batch["record"]
            for row, belongs in zip(rows, in_dev, strict=True):
                yield records[int(row)].as_py(), bool(belongs)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
