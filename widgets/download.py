"""A file for the person at the browser: saved where their browser saves, never on the machine that computes."""

import anywidget
import traitlets

_SAVE = """
export default {
  render({ model }) {
    const save = ({ name, text }) => {
      const url = URL.createObjectURL(new Blob([text], { type: "text/plain;charset=utf-8" }));
      const link = Object.assign(document.createElement("a"), { href: url, download: name });
      document.body.append(link);
      link.click();
      link.remove();
      setTimeout(() => URL.revokeObjectURL(url), 1000);
    };
    model.on("msg:custom", save);
    return () => model.off("msg:custom", save);
  },
};
"""


class Download(anywidget.AnyWidget):
    """Takes no room on the page; `save` has the browser download a text."""

    _esm = traitlets.Unicode(_SAVE).tag(sync=True)

    def save(self, name: str, text: str) -> None:
        """Have every page that shows this widget download `text` as a file called `name`."""
        self.send({"name": name, "text": text})
