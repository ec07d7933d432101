"""Pieces of the report's HTML page: tables, pictures and marked texts, every other text escaped."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import plotly.graph_objects as go

Column = tuple[str, str, bool]  # heading, key, whether it holds numbers


class Marked(str):
    """HTML that is escaped already."""


def sure(text: str) -> Marked:
    """A text in the colour of what is significant."""
    return Marked(f'<span class="sure">{escape(text)}</span>')


def table(columns: Sequence[Column], lines: Iterable[Mapping[Any, Any]], grouped: Sequence[str] = ()) -> str:
    """A table; the cells of the columns `grouped` are left empty where they repeat the line above."""
    body, above = [], None
    for line in lines:
        group = tuple(line[key] for key in grouped)
        new = grouped and group != above
        cells = []
        for _, key, numbers in columns:
            value = "" if key in grouped and not new else line[key]
            shown = value if isinstance(value, Marked) else escape(str(value))
            cells.append(f'<td class="n">{shown}</td>' if numbers else f"<td>{shown}</td>")
        body.append(('<tr class="first">' if new else "<tr>") + "".join(cells) + "</tr>")
        above = group
    head = "".join(
        f'<th class="n">{escape(name)}</th>' if numbers else f"<th>{escape(name)}</th>" for name, _, numbers in columns
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'


def definitions(said: Iterable[tuple[str, str]]) -> str:
    """Terms and what they mean; texts are escaped unless they are `Marked`."""
    lines = (
        f"<dt>{escape(term)}</dt><dd>{text if isinstance(text, Marked) else escape(text)}</dd>" for term, text in said
    )
    return f"<dl>{''.join(lines)}</dl>"


def picture(figure: go.Figure, name: str) -> str:
    """A figure with the id `<name>`; plotly.js is not in it."""
    config = {"displaylogo": False, "responsive": True}
    html = figure.to_html(full_html=False, include_plotlyjs=False, div_id=name, config=config)
    return f'<div class="wide"><div class="picture">{html}</div></div>'
