"""Who may use the application's server, and what it may be asked: the server itself, on a notebook of one cell."""

import asyncio
import json
import re
import urllib.error
import urllib.request
import uuid

import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

from tests import browser
from tests.experiment.test_pipeline import write_notebook
from widgets import serve

pytestmark = pytest.mark.skipif(bool(browser.missing("voila")), reason=browser.missing("voila") or "-")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    write_notebook(folder / "app.ipynb", "print('shown')")
    (folder / "secret.txt").write_text("secret")
    with browser.voila(folder / "app.ipynb", folder / "settings") as server:
        yield server, folder


def asked(address: str, **headers: str) -> tuple[int, str, str]:
    """Status, text, and the page that answered."""
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=60) as answer:
            return answer.status, answer.read().decode(), answer.url
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), address


def test_without_the_token_there_is_a_login_and_no_page(served):
    server, _ = served
    for address in (server.address, f"{server.address}/?token=wrong"):
        status, text, url = asked(address)
        assert status == 403 or "/login" in url
        assert "shown" not in text


def test_another_name_of_this_machine_reaches_nothing(served):
    """As a page of another site would, once its name leads to 127.0.0.1."""
    server, _ = served
    status, text, _ = asked(server.url(), Host="evil.example:80")
    assert status == 403 and "shown" not in text


@pytest.mark.parametrize("path", ["../secret.txt", "%2e%2e/secret.txt", "secret.txt", "/etc/passwd"])
def test_no_file_beside_the_page_is_served(served, path):
    server, _ = served
    status, text, _ = asked(f"{server.address}/voila/files/{path}?token={server.token}")
    assert status in (403, 404) and "secret" not in text.replace(path, "") and "root:" not in text


def test_no_kernel_can_be_started_and_none_is_listed(served):
    server, _ = served
    for path in ("api/kernels", "api/contents", "api/sessions", "api/terminals", "lab", "tree"):
        assert asked(f"{server.address}/{path}?token={server.token}")[0] in (403, 404), path


def test_of_the_pages_kernel_nothing_can_be_executed_and_no_other_site_reaches_it(served):
    server, folder = served
    status, text, _ = asked(server.url())
    assert status == 200 and "shown" in text
    found = re.search(r'"kernelId":\s*"([\w-]+)"', text)
    assert found is not None
    marker = folder / "executed"

    def message(kind: str, content: dict) -> str:
        header = {"msg_id": uuid.uuid4().hex, "msg_type": kind, "username": "", "session": "s", "version": "5.3"}
        whole = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
        return json.dumps(whole | {"buffers": []})

    def socket(token: str, **headers: str) -> HTTPRequest:
        address = server.address.replace("http", "ws", 1)
        return HTTPRequest(f"{address}/api/kernels/{found[1]}/channels?session_id=s&token={token}", headers=headers)

    async def ask() -> list[dict]:
        for token, headers in (
            ("", {}), (server.token, {"Host": "evil.example"}), ("", {"Origin": "http://evil.example"}),
        ):  # fmt: skip
            with pytest.raises(HTTPClientError):
                await websocket_connect(socket(token, **headers))
        connected = await websocket_connect(socket(server.token))
        code = f"open({str(marker)!r}, 'w').close()"
        await connected.write_message(message("execute_request", {"code": code, "silent": False}))
        await connected.write_message(message("kernel_info_request", {}))  # answered after what came before
        said = []
        while not said or said[-1]["header"]["msg_type"] != "kernel_info_reply":
            answer = await asyncio.wait_for(connected.read_message(), 30)
            assert answer is not None
            said.append(json.loads(answer))
        connected.close()
        return said

    said = asyncio.run(ask())
    assert "execute_reply" not in [each["header"]["msg_type"] for each in said]
    assert not marker.exists()


@pytest.mark.parametrize(
    ("address", "local"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("", False)]
)
def test_loopback(address, local):
    assert serve.is_loopback(address) is local


def test_a_token_is_made_unless_one_is_given(monkeypatch):
    launched = []

    class Application:
        @staticmethod
        def launch_instance(options):
            launched.append(options)

    monkeypatch.setattr(serve, "application", lambda: Application)
    for given in ([], ["--token=", "other.ipynb"], ["--Voila.ip=127.0.0.1"]):
        monkeypatch.setattr("sys.argv", ["serve", *given])
        serve.main()
    assert ["--token" in options for options in launched] == [True, False, True]
    assert [options[0].endswith("app.ipynb") for options in launched] == [True, False, True]
