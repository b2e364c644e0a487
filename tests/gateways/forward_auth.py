"""The real gateways that ask `/v1/authorize` for each request, with the configurations of deploy/gateways, and a tap
on the socket."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import sysconfig
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from processes import Client, Service, adapted
from program import LOOPBACK, ROOT, STOP_LIMIT, Program, free_port, listens

GATEWAYS = ROOT / "deploy/gateways"
SOCKET = "/run/signet/signet.sock"
# The deadline in the files is 500 ms; a busy machine adds the rest.
FORWARD_AUTH_LIMIT = 1.5
# On Debian it is not in the path of ordinary users.
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
CADDY, TRAEFIK = (Path(sysconfig.get_path("scripts")) / name for name in ["caddy", "traefik"])

# The text around a file of /etc/nginx/conf.d/. The workers must run as the user who starts nginx, because the sidecar
# accepts no other.
NGINX_CONF = """
user {user};
worker_processes 2;
pid nginx.pid;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include signet.conf;
}}
"""


class ForwardAuth(Program):
    """A gateway before a service, beside the socket of a sidecar."""

    def __init__(self, socket: Path, service: Service) -> None:
        self._socket, self._service = socket, service
        super().__init__()

    def is_ready(self) -> bool:
        return listens(self.port)


class Nginx(ForwardAuth):
    """nginx with signet.conf."""

    name = "nginx"

    def command(self) -> Sequence[str | Path]:
        assert NGINX is not None
        self.port = free_port()
        text = adapted(
            GATEWAYS / "nginx/signet.conf",
            [
                ("listen 0.0.0.0:10000;", f"listen {LOOPBACK}:{self.port};"),
                (f"server unix:{SOCKET} ", f"server unix:{self._socket} "),
                ("server 127.0.0.1:8000;", f"server {LOOPBACK}:{self._service.port};"),
            ],
        )
        (self.directory / "signet.conf").write_text(text)
        user = pwd.getpwuid(os.getuid()).pw_name
        (self.directory / "nginx.conf").write_text(NGINX_CONF.format(user=user))
        return [NGINX, "-p", self.directory, "-c", self.directory / "nginx.conf", "-e", "stderr", "-g", "daemon off;"]


class Caddy(ForwardAuth):
    """Caddy with a Caddyfile."""

    name = "caddy"
    configuration = GATEWAYS / "caddy/Caddyfile"

    def command(self) -> Sequence[str | Path]:
        self.port = free_port()
        file = self.directory / "Caddyfile"
        file.write_text(adapted(self.configuration, self.replacements()))
        return [CADDY, "run", "--config", file]

    def replacements(self) -> list[tuple[str, object]]:
        return [
            ("http://:10000", f"http://:{self.port}"),
            ("bind 0.0.0.0", f"bind {LOOPBACK}"),
            (f"unix/{SOCKET}", f"unix/{self._socket}"),
            ("reverse_proxy 127.0.0.1:8000", f"reverse_proxy {LOOPBACK}:{self._service.port}"),
        ]

    def environment(self) -> dict[str, str]:
        # It keeps its own files in the home directory.
        return {**os.environ, "HOME": str(self.directory), "XDG_DATA_HOME": "", "XDG_CONFIG_HOME": ""}


class Bridge(Caddy):
    """Caddy with bridge.Caddyfile."""

    configuration = GATEWAYS / "traefik/bridge.Caddyfile"

    def replacements(self) -> list[tuple[str, object]]:
        return [("http://:9465", f"http://:{self.port}"), (f"unix/{SOCKET}", f"unix/{self._socket}")]


class Traefik(ForwardAuth):
    """Traefik with traefik.yml, dynamic.yml and its bridge."""

    name = "traefik"

    def __init__(self, socket: Path, service: Service) -> None:
        self.bridge = Bridge(socket, service)
        try:
            super().__init__(socket, service)
        except BaseException:
            self.bridge.stop()
            raise

    def command(self) -> Sequence[str | Path]:
        self.port = free_port()
        dynamic = adapted(
            GATEWAYS / "traefik/dynamic.yml",
            [("127.0.0.1:9465", f"{LOOPBACK}:{self.bridge.port}"), ("127.0.0.1:8000", f"{LOOPBACK}:{self._service.port}")],
        )
        (self.directory / "dynamic.yml").write_text(dynamic)
        static = adapted(
            GATEWAYS / "traefik/traefik.yml",
            [('":10000"', f'"{LOOPBACK}:{self.port}"'), ("/etc/traefik/dynamic.yml", self.directory / "dynamic.yml")],
        )
        (self.directory / "traefik.yml").write_text(static)
        return [TRAEFIK, f"--configFile={self.directory / 'traefik.yml'}"]

    def is_ready(self) -> bool:
        # It listens before it has read its configuration. Until then, every answer is 404.
        if not listens(self.port):
            return False
        client = Client(self.port)
        try:
            return client.get("/").status != 404
        finally:
            client.close()

    def stop(self) -> int:
        self.bridge.stop()
        return super().stop()


class Tap:
    """A socket in front of the sidecar's, which records what gateways send."""

    def __init__(self, behind: Path) -> None:
        self._behind = behind
        self._directory = tempfile.TemporaryDirectory(prefix="tap-")
        self.socket = Path(self._directory.name) / "tap.sock"
        # The number of connections.
        self.connections = 0
        self._heard = bytearray()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.socket))
        self._listener.listen()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def heard(self) -> str:
        """Everything that was sent."""
        return self._heard.decode("latin-1")

    def stop(self) -> None:
        """Call this after the gateway has ended: a connection is forwarded until both sides have closed it."""
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(STOP_LIMIT)
        self._listener.close()
        self._directory.cleanup()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._threads.append(threading.Thread(target=self._pass_on, args=(near,), daemon=True))
            self._threads[-1].start()

    def _pass_on(self, near: socket.socket) -> None:
        with near, socket.socket(socket.AF_UNIX) as far:
            far.connect(str(self._behind))
            back = threading.Thread(target=_copy, args=(far, near, None), daemon=True)
            back.start()
            _copy(near, far, self._heard)
            back.join()


def _copy(source: socket.socket, target: socket.socket, heard: bytearray | None) -> None:
    # A gateway may disappear at any moment.
    with contextlib.suppress(OSError):
        while octets := source.recv(65536):
            if heard is not None:
                heard += octets
            target.sendall(octets)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def raw(port: int, *lines: str) -> tuple[int, str]:
    """Sends lines that no client library would send, and reads to the end. Returns the status and everything
    received."""
    with socket.create_connection((LOOPBACK, port), timeout=STOP_LIMIT) as connection:
        connection.sendall("".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1"))
        octets = b""
        while more := connection.recv(65536):
            octets += more
    text = octets.decode("latin-1")
    return int(text.split(" ", 2)[1]), text
