"""A dependency tree as arcs over its words, in SVG: what the linguistic adapter learns (Section 3.3 of the paper)."""

from collections.abc import Sequence
from html import escape

LETTER, GAP, STEP = 8.4, 18, 26  # pixels: a letter's width, between words, between one level of arcs and the next
WRONG = "#d55e00"


def levels(heads: Sequence[int]) -> list[int]:
    """How high each word's arc stands, from 1, so that none lies on one that it spans; 0 for a root.

    Args:
        heads: of each word, counted from 1; 0 for a root.

    >>> levels([2, 3, 0, 3])
    [1, 1, 0, 1]
    """
    spans = [(abs(head - word), min(head, word), max(head, word), word) for word, head in enumerate(heads, 1) if head]
    found = [0] * len(heads)
    done: list[tuple[int, int, int]] = []  # level, leftmost and rightmost word
    for _, low, high, word in sorted(spans):
        below = [level for level, left, right in done if left < high and low < right]
        found[word - 1] = 1 + max(below, default=0)
        done.append((found[word - 1], low, high))
    return found


def draw(
    words: Sequence[str],
    heads: Sequence[int],
    deprels: Sequence[str],
    upos: Sequence[str],
    predicted: Sequence[int] = (),
) -> str:
    """A sentence's tree. Ink is the page's (`currentColor`), every text escaped.

    Args:
        heads, deprels, upos: of each word; heads count from 1, 0 is the root.
        predicted: another head for each word; where it differs, its arc is added in orange, dashed.
    """
    wide = [LETTER * max(len(word), len(tag), 2) + GAP for word, tag in zip(words, upos, strict=True)]
    for i, (head, name) in enumerate(zip(heads, deprels, strict=True)):
        governor = head - 1
        if head and abs(governor - i) == 1:  # a short arc is as wide as what is written on it
            wide[i] += max(0, 2 * (0.8 * LETTER * len(name) + 8) - wide[i] - wide[governor])
    middle = [sum(wide[:i]) + width / 2 for i, width in enumerate(wide)]
    height = levels(heads)
    wrong = [p if p != h else h for p, h in zip(predicted, heads, strict=True)] if len(predicted) else list(heads)
    other = levels(wrong)
    top = 26 + STEP * max([1, *height, *(o for o, p, h in zip(other, wrong, heads, strict=True) if p != h)])
    parts = []
    for i, (word, head) in enumerate(zip(words, heads, strict=True)):
        parts.append(
            f'<text x="{middle[i]:.1f}" y="{top + 20}" text-anchor="middle">{escape(word)}</text>'
            f'<text x="{middle[i]:.1f}" y="{top + 36}" text-anchor="middle" font-size="11" opacity="0.65">'
            f"{escape(upos[i])}</text>"
        )
        parts.append(_arc(middle, i, head, height[i], top, deprels[i], "currentColor", ""))
        if wrong[i] != head:
            parts.append(_arc(middle, i, wrong[i], other[i], top, "", WRONG, ' stroke-dasharray="5 4"'))
    width = sum(wide) + 4
    said = "; ".join(
        f"{word}: {relation} of {words[head - 1] if head else 'nothing, the root'}"
        for word, head, relation in zip(words, heads, deprels, strict=True)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {top + 44}" width="{width:.0f}" '
        f'height="{top + 44}" role="img" aria-label="{escape(said)}" font-family="system-ui, sans-serif" '
        f'font-size="14" fill="currentColor">{"".join(parts)}</svg>'
    )


def _arc(middle: Sequence[float], word: int, head: int, level: int, top: int, name: str, ink: str, dash: str) -> str:
    """The arc from a head to its word, with an arrow at the word; a root's comes straight from the top."""
    end = middle[word]
    stroke = f'fill="none" stroke="{ink}" stroke-width="1.4" opacity="0.8"{dash}'
    arrow = f'<path d="M{end - 3.5:.1f} {top - 3}h7l-3.5 7z" fill="{ink}" opacity="0.8"/>'
    if not head:
        return (
            f'<path class="arc" d="M{end:.1f} 20V{top - 3}" {stroke}/>{arrow}'
            f'<text x="{end:.1f}" y="15" text-anchor="middle" font-size="11" fill="{ink}">'
            f"{escape(name or 'root')}</text>"
        )
    start = middle[head - 1] + (5 if word > head - 1 else -5)
    high = top - STEP * level
    turn = min(10.0, abs(end - start) / 2) * (1 if end > start else -1)
    path = f"M{start:.1f} {top}V{high + 8}Q{start:.1f} {high} {start + turn:.1f} {high}H{end - turn:.1f}"
    path += f"Q{end:.1f} {high} {end:.1f} {high + 8}V{top - 3}"
    return (
        f'<path class="arc" d="{path}" {stroke}/>{arrow}'
        f'<text x="{(start + end) / 2:.1f}" y="{high - 3}" text-anchor="middle" font-size="11" fill="{ink}">'
        f"{escape(name)}</text>"
    )
