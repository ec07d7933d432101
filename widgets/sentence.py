"""A sentence as HTML with its mentions highlighted as in Table 7: the subject underlined, the object in waves."""

from collections.abc import Sequence
from html import escape

from kadapter.cases.exports import pieces

_OPEN = {
    "object": '<i title="object" style="font-style: normal; text-decoration: underline wavy #d55e00 1.5px; '
    'text-underline-offset: 4px">',
    "subject": '<u title="{role}" style="text-decoration: underline solid #0072b2 2.5px; text-underline-offset: 4px">',
}


def sentence_html(text: str, mentions: Sequence[Sequence]) -> str:
    """A paragraph of HTML; whatever the text holds is shown, not run.

    Args:
        mentions: [[start, end, role], ...] in characters; role is `subject`, `mention` or `object`.
    """
    out = []
    for piece, roles in pieces(text, mentions):
        shown = escape(piece)
        for role in roles:
            kind = "object" if role == "object" else "subject"
            shown = f"{_OPEN[kind].format(role=escape(role))}{shown}</{'i' if kind == 'object' else 'u'}>"
        out.append(shown)
    return f'<p class="kadapter-sentence">{"".join(out)}</p>'
