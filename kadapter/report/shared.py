"""The section of the report that counts what knowledge and tests share: a leak would count as knowledge."""

from collections.abc import Sequence
from html import escape

from kadapter.data.overlap import KINDS
from kadapter.errors import KAdapterError
from kadapter.experiment.prepared import Data
from kadapter.report import markup
from kadapter.report.markup import Column
from kadapter.runs import Result

RULES = {
    "remove": "taken out of the knowledge before it was learned",
    "keep": "left in the knowledge (overlap: keep)",
}


def section(found: Sequence[Result]) -> str:
    """Per knowledge split and downstream part what they share, and what was done about it; "" for a preset whose data
    stage compared nothing (it has no tasks, or is older than the comparison).

    Args:
        found: all finished runs of the preset.
    """
    return "".join(_of(run) for run in found if run.path.parent.name == "data")


def _of(run: Result) -> str:
    try:
        data = Data(run.path)
    except KAdapterError:  # a run whose files were moved away
        return ""
    compared = data.manifest.get("overlap", {})
    if not compared.get("rows"):
        return ""
    rule = f"What dev and test share by text or fact is {RULES[compared['rule']]}."
    shared = data.overlap()
    if shared.empty:
        return f"<p>Nothing: no text and no pair of entities in {len(compared['rows'])} comparisons. {escape(rule)}</p>"
    columns: list[Column] = [
        *(("knowledge", "knowledge", False), ("split", "split", False), ("tested on", "downstream", False)),
        *(("part", "part", False), *((f"same {kind}", kind, True) for kind in KINDS)),
        *((f"of the part: {kind}", f"{kind}_of_part", True) for kind in KINDS),
        ("removed", "removed", True),
    ]
    return (
        "<p>Examples that an adapter learns from and a task's part hold, too: the same text; the same pair of "
        "entities; the same fact (the pair in the same relation), counted on both sides. "
        f"{escape(rule)}</p>" + markup.table(columns, shared.to_dict("records"), ("knowledge", "split"))
    )
