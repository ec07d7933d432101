"""The files in which the run of a probe keeps its answers, for Tables 5 and 6."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from kadapter.errors import KAdapterError

ROWS = "probe.json"  # scores as `kadapter probe --json` prints them (Table 5)
TOP = "top.json"  # the most probable words of every model (Table 6)
CASES = "cases.npz"  # every model's log-probabilities of the words that are an answer or among the most probable ones
LEAK = "leak.csv"  # scores apart by what the adapters' text says
COLUMNS = ["relation", "subject", "object", "objects", "text", "rank", "top"]


def write(folder: Path, top: Mapping[str, pd.DataFrame], rows: Sequence[Mapping[str, Any]] = ()) -> None:
    """Leave every model's answers (a table with `COLUMNS`, as `kadapter.probing.probe.Answers` has them) and the
    scores."""
    found = {name: table[COLUMNS].to_dict("records") for name, table in top.items()}
    (folder / TOP).write_text(json.dumps(found, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / ROWS).write_text(json.dumps(list(rows), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write_cases(
    folder: Path, words: Sequence[str], logs: Mapping[str, Float[np.ndarray, "facts words"]], top: pd.DataFrame
) -> None:
    """Leave every model's log-probabilities of the words for the facts of `top` (each model's), for case studies."""
    said = {word for table in top["top"] for word in table} | set(top["object"])
    at = [k for k, word in enumerate(words) if word in said]
    arrays = {f"log_{name}": log[:, at].astype(np.float16) for name, log in logs.items()}
    named: dict[str, Any] = {"words": np.array([words[k] for k in at]), **arrays}
    np.savez_compressed(folder / CASES, **named)


def read_cases(folder: Path) -> tuple[list[str], dict[str, Float[np.ndarray, "facts words"]]]:
    """The words, and each model's log-probabilities of them. Raises KAdapterError where a run left none."""
    try:
        with np.load(folder / CASES) as file:
            logs = {name.removeprefix("log_"): file[name].astype(np.float32) for name in file.files if name != "words"}
            return [str(word) for word in file["words"]], logs
    except OSError:
        raise KAdapterError(
            f"{folder} has no {CASES}: expected the run of a probe of facts in words (notebook 05_probe)"
        ) from None


def read_top(folder: Path) -> dict[str, pd.DataFrame]:
    """Model -> its answers; {} where a run left none."""
    if not (folder / TOP).is_file():
        return {}
    found = json.loads((folder / TOP).read_text(encoding="utf-8"))
    return {name: pd.DataFrame(records, columns=COLUMNS) for name, records in found.items()}


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """The scores; [] where a run left none."""
    return json.loads((folder / ROWS).read_text(encoding="utf-8")) if (folder / ROWS).is_file() else []
