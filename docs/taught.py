"""Draws docs/images/continual_{matrices,lines,costs}.svg from the finished runs of the preset `continual`.

kadapter run continual && python docs/taught.py runs
"""

import sys
from pathlib import Path

from kadapter.drawing import static
from kadapter.report import continual

IMAGES = Path(__file__).resolve().parent / "images"


def main() -> None:
    found = continual.measured(sys.argv[1], "continual")
    if found is None:
        sys.exit(f"{sys.argv[1]} holds no finished run of the preset continual: kadapter run continual")
    for name in ("matrices", "lines", "costs"):
        path = IMAGES / f"continual_{name}.svg"
        path.write_text(static.draw(getattr(continual, name)(found)), encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
