"""Figures that take long to load: a slow or busy machine gets its pictures, too."""

from functools import cache

import anywidget
import traitlets

_WAIT = """
export default {
  initialize() {
    if (AbortSignal.patient) return;
    const timeout = AbortSignal.timeout.bind(AbortSignal);
    AbortSignal.timeout = (milliseconds) => timeout(Math.max(milliseconds, 120000));
    AbortSignal.patient = true;
  },
};
"""


class _Patience(anywidget.AnyWidget):
    _esm = traitlets.Unicode(_WAIT).tag(sync=True)


@cache
def patience() -> _Patience:
    """Have the page wait two minutes for a widget's code; to be called before a figure is made.

    anywidget gives up after two seconds ("Failed to initialize model"), and then drops every later change. The code of
    a plotly figure is 5 MB, which a slow or busy processor reads for longer than that.
    """
    return _Patience()
