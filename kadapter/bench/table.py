"""A measurement for people: the machine, the rows, the ratios, and which goals were met."""

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from kadapter.bench.rows import Report, goals

UNITS = {
    "seconds_to_first_step": ("first step", "{:.1f} s"),
    "sentences_per_second": ("sentences/s", "{:,.1f}"),
    "tokens_per_second": ("tokens/s", "{:,.0f}"),
    "records_per_second": ("records/s", "{:,.0f}"),
    "records": ("records", "{:,.0f}"),
    "seconds": ("seconds", "{:,.1f}"),
    "seconds_of_writing": ("writing", "{:,.1f} s"),
    "peak_memory_bytes": ("peak memory", "GB"),
    "memory_growth_bytes": ("memory rose", "GB"),
    "store_bytes": ("store", "GB"),
    "file_bytes": ("file", "GB"),
    "matmul_share": ("of matmul", "{:.0%}"),
}


def show(report: Report, measured: Mapping[str, float], console: Console) -> None:
    """Print a report."""
    machine = report.machine
    where = machine["device"] if machine["device"] != "cpu" else machine["processor"]
    console.print(
        f"{where}, {machine['cores']} cores, {machine['threads']} threads, {machine['memory_bytes'] / 2**30:.0f} GiB; "
        f"{machine['matmul_precision']} matrix product {machine['matmul_flops'] / 1e9:,.0f} GFLOP/s; "
        f"torch {machine['torch']}"
    )
    found = [row.to_dict() for row in report.rows]
    if any("records_per_second" in row for row in found):
        hidden = {"sentences_per_second", "tokens_per_second"}
    else:
        hidden = set()
    columns = [key for key in UNITS if key not in hidden and any(key in row for row in found)]
    table = Table(title=f"backbone {report.backbone}" if report.backbone != "none" else None)
    table.add_column("")
    for key in columns:
        table.add_column(UNITS[key][0], justify="right")
    for row in found:
        table.add_row(row["name"], *(_shown(key, row.get(key)) for key in columns))
    console.print(table)
    for name, ratio in report.ratios.items():
        console.print(f"{name}: {ratio:,.2f}")
    reached = goals(measured, gpu=machine["device"] != "cpu")
    if reached:
        table = Table(title="goals")
        for column in ("what", "goal", "measured", ""):
            table.add_column(column, justify="left" if column == "what" else "right")
        for what, goal, value, met in reached:
            table.add_row(what, goal, f"{value:,.2f}", "met" if met else "missed")
        console.print(table)


def _shown(key: str, value: float | int | None) -> str:
    if value is None:
        return ""
    unit = UNITS[key][1]
    return f"{value / 1e9:.2f} GB" if unit == "GB" else unit.format(value)
