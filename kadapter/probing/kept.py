"""The files in which the run of a probe keeps its answers, for Tables 5 and 6."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

ROWS = "probe.json"  # scores as `kadapter probe --json` prints them (Table 5)
TOP = "top.json"  # the most probable words of every model (Table 6)
LEAK = "leak.csv"  # scores apart by what the adapters' text says
COLUMNS = ["relation", "subject", "object", "objects", "text", "rank", "top"]


def write(folder: Path, top: Mapping[str, pd.DataFrame], rows: Sequence[Mapping[str, Any]] = ()) -> None:
    """Leave every model's answers (a table with `COLUMNS`, as `kadapter.probing.probe.Answers` has them) and the
    scores."""
    found = {name: table[COLUMNS].to_dict("records") for name, table in top.items()}
    (folder / TOP).write_text(json.dumps(found, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / ROWS).write_text(json.dumps(list(rows), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_top(folder: Path) -> dict[str, pd.DataFrame]:
    """Model -> its answers; {} where a run left none."""
    if not (folder / TOP).is_file():
        return {}
    found = json.loads((folder / TOP).read_text(encoding="utf-8"))
    return {name: pd.DataFrame(records, columns=COLUMNS) for name, records in found.items()}


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """The scores; [] where a run left none."""
    return json.loads((folder / ROWS).read_text(encoding="utf-8")) if (folder / ROWS).is_file() else []
