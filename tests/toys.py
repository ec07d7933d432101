"""Notebooks of a few lines, for tests of what executes them."""

import json
from pathlib import Path

LEAVE = """
from kadapter import runs
run = runs.begin(out, stage={stage!r}, name=name, parameters={{key: globals()[key] for key in {names}}})
run.path("artefact").write_text(name)
run.finish(metrics={{"f1": 0.5}})
"""


def write_notebook(path: Path, parameters: str, *cells: str) -> None:
    """A notebook with a cell tagged `parameters`, then the given cells."""
    tagged = {"tags": ["parameters"]}
    content = [(parameters, tagged)] + [(cell, {}) for cell in cells]
    book = {
        "cells": [
            {
                "cell_type": "code",
                "id": f"c{i}",
                "metadata": tags,
                "source": code,
                "outputs": [],
                "execution_count": None,
            }
            for i, (code, tags) in enumerate(content)
        ],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(book))
