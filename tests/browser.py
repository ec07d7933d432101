"""A real JupyterLab or Voila with a real kernel, and headless Chromium to look at it; both end with the block."""

import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

FLAGS = (
    "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update --disable-sync "
    "--no-first-run"
).split()
ROOT = Path(__file__).resolve().parents[1]
TIMEOUT = 40_000  # milliseconds; generous, as machines are slow
OVERRIDES = """{
 "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
 "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": false}
}"""


def missing(*modules: str) -> str:
    """Why browser tests cannot run here; "" if they can."""
    lacking = [name for name in ("playwright", "jupyterlab", *modules) if importlib.util.find_spec(name) is None]
    if lacking:
        return f"{lacking[0]} is not installed: `make test` installs it"
    return "" if chromium() else "no Chromium is installed: `apt-get install chromium`"


def chromium() -> str | None:
    """The path of an installed Chromium or Chrome."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@dataclass(frozen=True)
class Server:
    """Where a server listens."""

    address: str
    token: str = ""
    pid: int = 0

    def url(self, path: str = "") -> str:
        """The address of a page, with the token."""
        return f"{self.address}/{path}" + (f"?token={self.token}" if self.token else "")


@contextmanager
def page(width: int = 1300, height: int = 1600, **more) -> Iterator:
    """A page of a headless Chromium that reaches nothing but this machine; `page.context.new_page()` makes others."""
    from playwright.sync_api import sync_playwright

    def allowed(url: str) -> bool:
        return url.startswith(("file:", "data:", "blob:", "http://127.0.0.1:"))

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        try:
            context = browser.new_context(viewport={"width": width, "height": height}, **more)
            context.route("**/*", lambda route: route.continue_() if allowed(route.request.url) else route.abort())
            context.set_default_timeout(TIMEOUT)
            yield context.new_page()
        finally:
            browser.close()


@contextmanager
def lab(folder: Path, settings: Path, command: Sequence[str] = ()) -> Iterator[Server]:
    """JupyterLab on `folder`.

    Args:
        settings: an empty folder for settings, workspaces and the log, so that none of the user's are touched.
        command: that starts it there, as `make lab` does, and says what is served; () for our own.
    """
    (settings / "app").mkdir(parents=True, exist_ok=True)
    (settings / "app" / "overrides.json").write_text(OVERRIDES, encoding="utf-8")
    options = [
        *([] if command else [f"--ServerApp.root_dir={folder}"]),
        f"--LabApp.app_settings_dir={settings / 'app'}",
        f"--LabApp.user_settings_dir={settings / 'user'}",
        f"--LabApp.workspaces_dir={settings / 'workspaces'}",
        "--LabApp.expose_app_in_browser=True",
        "--LabApp.news_url=",
    ]
    with _served("jupyterlab", ["--no-browser", *options], folder, settings, command) as server:
        yield server


@contextmanager
def voila(notebook: Path, settings: Path, **environment: str) -> Iterator[Server]:
    """The app's server on one notebook."""
    options = [str(notebook), "--no-browser"]
    with _served("widgets.serve", options, notebook.parent, settings, (), **environment) as server:
        yield server


@contextmanager
def _served(
    module: str, options: list[str], folder: Path, settings: Path, command: Sequence[str], **environment: str
) -> Iterator[Server]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    prefix = "Voila" if module == "widgets.serve" else "ServerApp"
    options += [f"--{prefix}.port={port}", f"--{prefix}.port_retries=0"]
    options += [] if command else [f"--{prefix}.ip=127.0.0.1"]
    options += [f"--{'IdentityProvider' if module == 'jupyterlab' else 'Voila'}.token={token}"]
    if module == "jupyterlab":
        options += ["--allow-root"] if not command and hasattr(os, "geteuid") and os.geteuid() == 0 else []
    settings.mkdir(parents=True, exist_ok=True)
    own = {
        "JUPYTER_CONFIG_DIR": str(settings / "config"),
        "JUPYTER_RUNTIME_DIR": str(settings / "runtime"),
        "IPYTHONDIR": str(settings / "ipython"),
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
    }
    log = settings / f"{module}.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [*(command or (sys.executable, "-m", module)), *options],
            cwd=folder,
            env=os.environ | own | environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        address = f"http://127.0.0.1:{port}"
        try:
            _wait(process, f"{address}/api" if module == "jupyterlab" else f"{address}/static/", log)
            yield Server(address, token, process.pid)
        finally:
            _end(process)


def _wait(process: subprocess.Popen, address: str, log: Path) -> None:
    until = time.monotonic() + 90
    while process.poll() is None and time.monotonic() < until:
        try:
            urllib.request.urlopen(address, timeout=5)
            return
        except urllib.error.HTTPError:
            return  # it answers
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"the server did not start: {log.read_text()[-3000:]}")


def _end(process: subprocess.Popen) -> None:
    """Ask the server to end, which ends its kernels; what does not listen is killed with all it started."""
    import psutil

    try:
        started = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        started = []
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for child in psutil.wait_procs(started, timeout=5)[1]:
        child.kill()


def open_notebook(opened, server: Server, name: str) -> None:
    """Open a notebook of the lab's folder and wait until its kernel is there."""
    opened.goto(server.url(f"lab/tree/{name}"))
    wait_idle(opened, name)


def wait_idle(opened, name: str) -> None:
    """Wait until the notebook is in front and its kernel waits for something to do."""
    opened.wait_for_function(
        """name => {
            const panel = window.jupyterapp?.shell.currentWidget;
            return panel?.context?.isReady && panel.context.path === name &&
                panel.sessionContext?.session?.kernel?.status === 'idle' &&
                !!document.querySelector('.jp-Notebook .jp-Cell');
        }""",
        arg=name,
    )


def run_all(opened) -> None:
    """Run every cell, and wait until the last one has ended. Raises AssertionError with the first error's text."""
    opened.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")
    opened.wait_for_function(
        """() => {
            const cells = jupyterapp.shell.currentWidget.content.widgets.filter(cell => cell.model.type === 'code');
            return cells.every(cell => cell.model.executionState !== 'running' && cell.model.executionCount) ||
                !!document.querySelector('[data-mime-type="application/vnd.jupyter.error"]');
        }"""
    )
    errors = opened.locator('[data-mime-type="application/vnd.jupyter.error"]')
    assert errors.count() == 0, errors.first.inner_text()


def choose(select, *beginnings: str) -> None:
    """Choose the options of a list whose texts begin so."""
    texts = select.locator("option").all_inner_texts()
    select.select_option(label=[next(text for text in texts if text.startswith(each)) for each in beginnings])


def contrast(locator) -> float:
    """The contrast (WCAG, from 1 to 21) of an element's text to the page behind it."""
    return locator.evaluate(
        """element => {
            const parse = text => text.match(/[\\d.]+/g).map(Number);
            const linear = v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
            const light = ([r, g, b]) => [r, g, b].map(v => linear(v / 255))
                .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
            let behind = element, paper = [0, 0, 0, 0];
            while (behind && (paper.length > 3 && paper[3] === 0)) {
                paper = parse(getComputedStyle(behind).backgroundColor); behind = behind.parentElement;
            }
            const [a, b] = [light(parse(getComputedStyle(element).color)), light(paper)].sort((x, y) => y - x);
            return (a + 0.05) / (b + 0.05);
        }"""
    )
