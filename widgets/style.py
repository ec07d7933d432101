"""How widgets look: one style sheet on JupyterLab's theme variables, and text made safe for HTML and for plotly.

Colours are those of `kadapter.report.figures`, told apart by colour-blind people; nothing is said by colour alone.
"""

from html import escape

import ipywidgets

CSS = """
.kadapter { color: var(--jp-ui-font-color1, inherit); max-width: 1200px; }
.kadapter h4 { margin: 10px 0 2px; font-size: 13px; font-weight: 600; color: var(--jp-ui-font-color1, inherit); }
.kadapter .widget-html-content { line-height: 1.45; }
.kadapter select, .kadapter textarea, .kadapter input[type="text"], .kadapter input[type="number"] {
  color: var(--jp-ui-font-color1, inherit); background-color: var(--jp-layout-color1, Canvas);
  border-color: var(--jp-border-color1, GrayText); }
.kadapter :is(button, select, textarea, input):focus-visible {
  outline: 2px solid var(--jp-brand-color1, Highlight); outline-offset: 1px; }
.kadapter .widget-select select { font-family: var(--jp-code-font-family, monospace); font-size: 12px; }
.kadapter .widget-toggle-button.mod-active { font-weight: 600; }
.kadapter-sentence { font-size: 16px; line-height: 2; margin: 4px 0; white-space: pre-wrap; overflow-wrap: anywhere; }
.kadapter-note { color: var(--jp-ui-font-color2, inherit); font-size: 12px; }
.kadapter-error { border-left: 4px solid #d55e00; padding: 2px 8px; overflow-wrap: anywhere; }
.kadapter-tables { display: flex; flex-wrap: wrap; gap: 6px 28px; align-items: flex-start; }
.kadapter-tables table { min-width: 220px; }
.kadapter .widget-slider .widget-readout { min-width: 96px; }
.kadapter-tables table, table.kadapter-table { border-collapse: collapse; font-size: 12.5px; color: inherit; }
.kadapter-tables caption { text-align: left; font-weight: 600; padding: 2px 0; color: inherit; }
.kadapter-tables :is(th, td), .kadapter-table :is(th, td) { padding: 1px 8px 1px 0; text-align: right;
  border-bottom: 1px solid var(--jp-border-color2, rgba(128, 128, 128, 0.3)); color: inherit; background: none; }
.kadapter-tables :is(th, td):first-child, .kadapter-table :is(th, td):first-child { text-align: left; }
.kadapter-tables tr.kadapter-true td { font-weight: 700; }
.kadapter-tables tr.kadapter-not td { color: var(--jp-ui-font-color2, GrayText); }
table.kadapter-infused { border-collapse: collapse; font-size: 12.5px; color: inherit; margin: 4px 0 10px; }
.kadapter-infused :is(th, td) { padding: 2px 14px 2px 0; text-align: left; vertical-align: top; color: inherit;
  border-bottom: 1px solid var(--jp-border-color2, rgba(128, 128, 128, 0.3)); background: none; }
.kadapter-stale { opacity: 0.4; transition: opacity 0.1s 0.3s; }
"""


def sheet(more: str = "") -> ipywidgets.HTML:
    """The style sheet as a widget to put into a box of class `kadapter`; it is there while the widget is."""
    return ipywidgets.HTML(f"<style>{CSS}{more}</style>", layout={"display": "block", "height": "0", "margin": "0"})


def plain(text: str) -> str:
    """Text as plotly draws it: no pseudo-HTML (<b>, <a href>), no entity, no LaTeX between dollar signs."""
    return escape(text, quote=False).replace("$", "&#36;")


def heading(text: str) -> ipywidgets.HTML:
    """A small heading between controls."""
    return ipywidgets.HTML(f"<h4>{escape(text)}</h4>")


def note(text: str) -> str:
    """HTML of a remark in small print."""
    return f'<span class="kadapter-note">{escape(text)}</span>'


def error(text: str) -> str:
    """HTML of one sentence that says what went wrong; read out by screen readers. "" for no text."""
    return f'<div class="kadapter-error" role="alert"><b>Error:</b> {escape(text)}</div>' if text else ""


def message(problem: BaseException) -> str:
    """What an exception says, in one line: our own errors are sentences, of others the name is part of it."""
    from kadapter.errors import KAdapterError

    said = " ".join(str(problem).split())
    return said if isinstance(problem, KAdapterError) else f"{type(problem).__name__}: {said}".removesuffix(": ")
