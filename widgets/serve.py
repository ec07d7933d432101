"""Serves the application: `python -m widgets.serve`, with Voila's options. Its page asks no other host for anything.

Who may use it: whoever has the address with its token, which is made anew at every start (`--token=` sets another, or
none). On a loopback address a request that names another host is refused, so that no page of another site can reach it
under a name of its own; and of a kernel the page may ask what its widgets need, never to execute code.
"""

import ipaddress
import os
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from voila.app import Voila

HERE = Path(__file__).resolve().parent
TEMPLATE = "kadapter"  # in jupyter/voila/templates
TOKENS = ("--token", "--Voila.token", "--Voila.auto_token")  # options of one's own


def application() -> "type[Voila]":
    """Voila that answers on a loopback address to its own names alone, and opens a browser with its token."""
    # Templates are looked for in Jupyter's folders, which are read when Voila is imported.
    os.environ["JUPYTER_PATH"] = os.pathsep.join(
        filter(None, (str(HERE / "jupyter"), os.environ.get("JUPYTER_PATH", "")))
    )
    from voila.app import Voila

    class Local(Voila):
        def init_settings(self) -> dict[str, Any]:
            return super().init_settings() | {"allow_remote_access": not is_loopback(self.ip)}

        def launch_browser(self) -> None:
            webbrowser.open(self.display_url)

    return Local


def is_loopback(address: str) -> bool:
    """Whether a server on this address is reached from this machine alone.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0"), is_loopback("")
    (True, True, False, False)
    """
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def main() -> None:
    """Voila on `app.ipynb`, or on another notebook that is named first."""
    given = sys.argv[1:]
    notebook = [] if any(not each.startswith("-") for each in given) else [str(HERE / "app.ipynb")]
    token = [] if any(each.split("=")[0] in TOKENS for each in given) else ["--token"]
    application().launch_instance([*notebook, *given, f"--template={TEMPLATE}", *token])


if __name__ == "__main__":
    main()
