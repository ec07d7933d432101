"""What a build of factual data says of itself: card, README, and the frequencies of its relations as table and picture.

The frequencies are those of section 3.3 of the paper: examples and entity pairs per relation.
"""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CARD = "card.json"
_KEPT, _RARE = "#0072b2", "#8c8c8c"

_ABOUT = {
    "trex": "Sentences of Wikipedia abstracts with a Wikidata relation between two entities, aligned by T-REx "
    "(Elsahar et al., 2018; CC BY-SA 4.0).",
    "lama": "Sentences of T-REx that LAMA (Petroni et al., 2019; CC BY-NC 4.0, non-commercial) has as evidences, with "
    "the masked object put back.",
}


def numeric(relation: str) -> tuple[int, str]:
    """Sort key of property ids: P6, P19, P131; anything else after them by name."""
    digits = relation[1:]
    number = int(digits) if relation[:1] == "P" and digits.isascii() and digits.isdecimal() else None
    return (0, f"{number:020}") if number is not None else (1, relation)


def write(
    folder: Path, card: Mapping[str, Any], numbers: Mapping[str, int], frequencies: Mapping[str, Mapping[str, int]]
) -> None:
    """Writes `card.json`, `README.md`, `relations.json`, `relations.csv` and `relations.html`.

    `numbers`: the relations that are kept, and the integer of each. `frequencies`: examples and entity pairs of every
    relation before rare ones were dropped, most frequent first.
    """
    (folder / CARD).write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "relations.json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    with (folder / "relations.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["relation", "examples", "entity_pairs", "kept"])
        table.writerows(
            [name, row["examples"], row["entity_pairs"], "yes" if name in numbers else "no"]
            for name, row in frequencies.items()
        )
    _picture(numbers, frequencies, card["settings"]).write_html(
        folder / "relations.html", include_plotlyjs=True, div_id="relations"
    )
    (folder / "README.md").write_text(_readme(card), encoding="utf-8")


def _picture(numbers: Mapping[str, int], frequencies: Mapping[str, Mapping[str, int]], settings: Mapping[str, Any]):
    """Examples of every relation, most frequent first, on a logarithmic axis; grey where it is left out."""
    import plotly.graph_objects as go

    figure = go.Figure()
    names = list(frequencies)
    for title, colour, wanted in (("kept", _KEPT, True), ("rare, left out", _RARE, False)):
        shown = [name for name in names if (name in numbers) == wanted]
        figure.add_bar(
            x=shown,
            y=[frequencies[name]["examples"] for name in shown],
            customdata=[frequencies[name]["entity_pairs"] for name in shown],
            name=f"{title} ({len(shown)})",
            marker_color=colour,
            hovertemplate="%{x}: %{y:,} examples, %{customdata:,} entity pairs<extra></extra>",
        )
    figure.update_layout(
        title=f"Examples per relation; {settings['rarity'].replace('_', ' ')} below {settings['minimum']} are left out",
        xaxis={"title": "relation", "categoryorder": "array", "categoryarray": names},
        yaxis={"title": "examples", "type": "log"},
        template="plotly_white",
        bargap=0.1,
    )
    return figure


def _readme(card: Mapping[str, Any]) -> str:
    settings, examples = card["settings"], card["examples"]
    rule = "distinct subject-object pairs" if settings["rarity"] == "entity_pairs" else "examples"
    total = sum(examples.values())
    lines = [
        "# Factual pre-training data (T-REx-rc)",
        "",
        _ABOUT[card["kind"]],
        "",
        f"Made by `kadapter data {card['kind']}` from {card['files']:,} files, `{card['source']}`.",
        "",
        "| file | examples |",
        "|---|---:|",
        *(f"| `{split}.json` | {count:,} |" for split, count in examples.items()),
        "",
        f"{card['relations']:,} relations (`relations.json`; all of them with their frequencies in `relations.csv` and "
        "`relations.html`). "
        f"A relation is left out when it has fewer than {settings['minimum']} {rule}"
        + (f"; so are {', '.join(settings['exclude'])}" if settings["exclude"] else "")
        + f". Longest sentence: {settings['max_tokens'] or 'any'}{' words' if settings['max_tokens'] else ''}. "
        f"Share of the sentences in dev: {settings['dev_share']}, seed {settings['seed']}; no sentence is in both.",
        "",
        "## What became of the triples",
        "",
        "| | triples | share |",
        "|---|---:|---:|",
        f"| found in {card['documents']:,} documents | {card['triples']:,} | |",
        *(f"| dropped: {why} | {n:,} | {n / card['triples']:.2%} |" for why, n in card["dropped"].items()),
        f"| kept | {total:,} | {total / card['triples']:.2%} |",
        "",
        *(["The first broken records:", "", *(f"- `{line}`" for line in card["broken"]), ""] if card["broken"] else ()),
    ]
    return "\n".join(lines)
