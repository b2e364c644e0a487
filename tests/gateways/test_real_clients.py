"""The clients that users have, in front of signet-gateway: curl, Python's requests, Node's fetch, and a browser with a page
of another origin."""

from __future__ import annotations

import html
import http.server
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from figures import leave_out
from gateway_fixtures import issuer
from identity import CLAIMS
from own_issuer import Issuer
from processes import HttpServer, Service
from program import LOOPBACK
from signet_gateway import SignetGateway

__all__ = ["issuer"]

LIMIT = 60.0
SUBJECT = CLAIMS["sub"]
# There is no token to say anything of (RFC 6750 §3.1).
CHALLENGE = 'Bearer realm="api"'

# What the page does. It writes the results into its own title, because --dump-dom prints the page.
PAGE = """<!doctype html><title>nothing yet</title><script>
const fetched = async (path, options) => {
  try {
    const answer = await fetch("GATEWAY" + path, options);
    return [answer.status, answer.headers.get("x-krakend-completed"), (await answer.text()).length > 0];
  } catch { return "blocked"; }
};
(async () => {
  const token = { headers: { authorization: "Bearer TOKEN" } };
  const results = {
    good: await fetched("/account", token),
    none: await fetched("/account", {}),
    method: await fetched("/account", { ...token, method: "PUT" }),
    header: await fetched("/account", { headers: { ...token.headers, "x-other": "1" } }),
  };
  document.title = JSON.stringify(results);
})();
</script>"""


class Pages(HttpServer):
    """A site of another origin, whose page calls the gateway."""

    def __init__(self) -> None:
        pages = self
        self.page = b""

        class Page(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(http.HTTPStatus.OK)
                self.send_header("content-type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write(pages.page)

            def log_message(self, format: str, *args: Any) -> None:
                """Logs nothing, because the tests report faults."""

        super().__init__(Page)
        self.origin = f"http://{LOOPBACK}:{self.port}"


@pytest.fixture(scope="module")
def site() -> Iterator[Pages]:
    site = Pages()
    yield site
    site.stop()


@pytest.fixture(scope="module")
def gateway(issuer: Issuer, service: Service, site: Pages) -> Iterator[SignetGateway]:
    gateway = SignetGateway(issuer.issuer, service, origin=site.origin)
    yield gateway
    assert gateway.stop() == 0


def url(gateway: SignetGateway, path: str) -> str:
    return f"http://{LOOPBACK}:{gateway.port}{path}"


def program(name: str, variable: str = "") -> str:
    """A program of this machine. If it is missing, this is reported, and in CI it fails."""
    found = os.environ.get(variable) or shutil.which(name)
    if found is None:
        leave_out(name, f"this machine has no {name}")
    return str(found)


def output(*command: str | Path, **more: Any) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False, **more)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_curl(gateway: SignetGateway, issuer: Issuer) -> None:
    curl, token = program("curl"), issuer.token(issuer.claims())
    with_token = [curl, "-sS", "-H", f"Authorization: Bearer {token}"]
    assert json.loads(output(*with_token, url(gateway, "/account")))["account"]["path"] == f"/accounts/{SUBJECT}"
    status = ["-o", os.devnull, "-w", "%{http_code} %{http_version}"]
    assert output(curl, "-sS", *status, url(gateway, "/account")) == "401 1.1"
    assert output(*with_token, *status, "--http2-prior-knowledge", url(gateway, "/orders")) == "200 2"
    # Two requests on one connection.
    used = output(*with_token, "-w", "%{num_connects}\n", "-o", os.devnull, "-o", os.devnull, *[url(gateway, "/orders")] * 2)
    assert used.split() == ["1", "0"]
    head = output(*with_token, "--head", "-w", "%{http_code}", url(gateway, "/public/page"))
    assert head.endswith("405") and "allow: get" in head.lower()


def test_requests(gateway: SignetGateway, issuer: Issuer) -> None:
    with requests.Session() as session:
        refused = session.get(url(gateway, "/account"), timeout=LIMIT)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, CHALLENGE)
        session.headers["authorization"] = f"Bearer {issuer.token(issuer.claims())}"
        merged = session.get(url(gateway, "/account"), timeout=LIMIT)
        assert (merged.status_code, merged.headers["x-krakend-completed"]) == (200, "true")
        assert merged.json()["orders"] == {"path": f"/orders?of={SUBJECT}"}
        with session.get(url(gateway, "/orders?page=2&other=1"), timeout=LIMIT, stream=True) as streamed:
            assert json.loads(b"".join(streamed.iter_content(16)))["path"] == "/orders?page=2"
        assert session.get(url(gateway, "/nowhere"), timeout=LIMIT).status_code == 404


def test_nodes_fetch(gateway: SignetGateway, issuer: Issuer) -> None:
    script = """
        const [, account, token] = process.argv;
        const get = async (headers) => {
            const answer = await fetch(account, { headers });
            return [answer.status, answer.headers.get("www-authenticate"), await answer.text()];
        };
        const refused = await get({});
        const good = await get({ authorization: `Bearer ${token}` });
        console.log(JSON.stringify({ refused, status: good[0], body: JSON.parse(good[2]) }));
    """
    arguments = ["--input-type=module", "--eval", script, url(gateway, "/account"), issuer.token(issuer.claims())]
    result = json.loads(output(program("node"), *arguments))
    assert (result["refused"][:2], result["status"]) == ([401, CHALLENGE], 200)
    assert result["body"]["account"]["path"] == f"/accounts/{SUBJECT}"


def test_a_browser_with_a_page_of_another_origin(gateway: SignetGateway, issuer: Issuer, site: Pages) -> None:
    browser = program("chromium", "SIGNET_TEST_CHROMIUM")
    page = PAGE.replace("GATEWAY", url(gateway, "")).replace("TOKEN", issuer.token(issuer.claims()))
    site.page = page.encode()
    allowed = results(browser, site.origin)
    assert allowed == {
        "good": [200, "true", True],
        # The page can read why it was refused.
        "none": [401, None, True],
        "method": "blocked",
        "header": "blocked",
    }
    # The same page from an origin that the file does not name.
    stranger = Pages()
    try:
        stranger.page = site.page
        assert set(results(browser, stranger.origin).values()) == {"blocked"}
    finally:
        stranger.stop()


def results(browser: str, origin: str) -> dict[str, Any]:
    """What the page found out."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    options += ["--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--virtual-time-budget=20000"]
    with tempfile.TemporaryDirectory(prefix="browser-") as profile:
        home = os.environ | {"HOME": profile}
        dom = output(browser, *options, f"--user-data-dir={profile}/profile", "--dump-dom", f"{origin}/", env=home)
    title = re.search(r"<title>(.*?)</title>", dom)
    assert title, dom
    return dict(json.loads(html.unescape(title[1])))
