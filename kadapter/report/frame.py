"""What the HTML pages share: each is one file that needs no network, its style inside, and says what it may load."""

from collections.abc import Sequence
from html import escape

STYLE = """
:root { color-scheme: light dark; --paper: #fdfdfc; --ink: #1d1f21; --soft: #5f6368; --line: #dcdcd8; --card: #f4f4f1;
  --good: #00694e; }
@media (prefers-color-scheme: dark) { :root { --paper: #17181a; --ink: #e6e6e3; --soft: #a2a6ab; --line: #36383b;
  --card: #212326; --good: #4cc9a0; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 2.2rem 1.4rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .2rem; }
h2 { font-size: 1.25rem; margin: 2.8rem 0 .5rem; padding-top: .9rem; border-top: 1px solid var(--line); }
p, li { max-width: 46rem; } .soft { color: var(--soft); } nav a { margin-right: 1.1rem; } a { color: inherit; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(15.5rem, 1fr)); gap: .9rem; margin: 1.4rem 0; }
.card { background: var(--card); border-radius: .6rem; padding: .9rem 1.1rem; }
.card b { display: block; font-size: 1.75rem; line-height: 1.25; font-variant-numeric: tabular-nums; }
.card span { display: block; font-size: .86rem; color: var(--soft); }
.wide { overflow-x: auto; margin: .8rem 0 1.2rem; } .picture { min-width: 46rem; }
table { border-collapse: collapse; font-size: .92rem; }
th, td { padding: .28rem .85rem .28rem 0; text-align: left; vertical-align: top; white-space: nowrap; }
th { font-weight: 600; border-bottom: 1.5px solid var(--ink); }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
tr.first > td { border-top: 1px solid var(--line); } tbody tr:hover { background: var(--card); }
h3 { font-size: 1rem; margin: 1.4rem 0 .3rem; } .cases td:nth-child(2) { white-space: normal; min-width: 22rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .35rem 1.2rem; max-width: 58rem; margin: .6rem 0; }
dt { font-weight: 600; } dd { margin: 0; } code { font-size: .9em; }
.sure { color: var(--good); font-weight: 600; }
details { margin: .35rem 0; } details details { margin-left: 1.2rem; } summary { cursor: pointer; }
pre { background: var(--card); padding: .8rem 1rem; border-radius: .5rem; overflow-x: auto; font-size: .82rem; }
.js-plotly-plot .main-svg text { fill: var(--ink) !important; } .js-plotly-plot .hoverlayer text { fill: inherit; }
"""


def framed(
    heading: str,
    title: str,
    parts: Sequence[tuple[str, str, str]],
    *,
    opening: str,
    policy: str,
    style: str = "",
    script: str = "",
) -> str:
    """A whole page.

    Args:
        heading, title: of the page and of its tab, escaped here.
        parts: anchor, title (escaped here) and body (HTML) of each section, listed in the navigation.
        opening: HTML between heading and navigation.
        policy: its Content-Security-Policy.
        style: rules of its own, after the shared ones.
        script: JavaScript that stands in its head, if any.
    """
    links = "".join(f'<a href="#{anchor}">{escape(name)}</a>' for anchor, name, _ in parts)
    sections = "".join(f'<h2 id="{anchor}">{escape(name)}</h2>\n{body}\n' for anchor, name, body in parts)
    loaded = f"<script>{script}</script>\n" if script else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{escape(title)}</title>
<style>{STYLE}{style}</style>
{loaded}</head>
<body>
<h1>{escape(heading)}</h1>
{opening}
<nav>{links}</nav>
{sections}</body>
</html>
"""
