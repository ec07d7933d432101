"""Serves the application: `python -m widgets.serve`, with Voila's options. Its page asks no other host for anything."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
TEMPLATE = "kadapter"  # in jupyter/voila/templates


def main() -> None:
    """Voila on `app.ipynb`, or on another notebook that is named first."""
    # Templates are looked for in Jupyter's folders, which are read when Voila is imported.
    os.environ["JUPYTER_PATH"] = os.pathsep.join(
        filter(None, (str(HERE / "jupyter"), os.environ.get("JUPYTER_PATH", "")))
    )
    from voila.app import main as serve

    named = [each for each in sys.argv[1:] if not each.startswith("-")]
    serve([*([] if named else [str(HERE / "app.ipynb")]), *sys.argv[1:], f"--template={TEMPLATE}"])


if __name__ == "__main__":
    main()
