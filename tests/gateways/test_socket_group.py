"""Gateways that run as an ordinary user, as packages start them, with a sidecar of another user. SIGNET_SOCKET_GROUP
lets them connect."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from figures import leave_out
from forward_auth import NGINX, NGINX_CONF, Caddy, Nginx
from identity import CLAIMS, bearer
from processes import Client, Envoy, Service
from sidecar import Sidecar

# Debian's user for web servers, which has no permissions of its own.
USER = GROUP = "www-data"


def is_there() -> bool:
    """Whether this process can become that user."""
    try:
        pwd.getpwnam(USER), grp.getgrnam(GROUP)
    except KeyError:
        return False
    return os.geteuid() == 0 and shutil.which("setpriv") is not None


def as_user(command: Sequence[str | Path], directory: Path) -> list[str | Path]:
    """The command as that user, with a copy of its program, which may be in a place where the user has no access."""
    directory.chmod(0o777)
    program = shutil.copy(command[0], directory)
    return ["setpriv", f"--reuid={USER}", f"--regid={GROUP}", "--clear-groups", "--", program, *command[1:]]


class Reachable(Sidecar):
    """A sidecar whose directory others may enter."""

    def command(self) -> Sequence[str | Path]:
        self.directory.chmod(0o755)
        return super().command()


class OrdinaryNginx(Nginx):
    """nginx as Debian starts it: the master runs as root, the workers do not."""

    def command(self) -> Sequence[str | Path]:
        command = super().command()
        self.directory.chmod(0o755)
        (self.directory / "nginx.conf").write_text(NGINX_CONF.format(user=USER))
        return command


class OrdinaryCaddy(Caddy):
    """Caddy as that user."""

    def command(self) -> Sequence[str | Path]:
        return as_user(super().command(), self.directory)


class OrdinaryEnvoy(Envoy):
    """Envoy as that user."""

    def command(self) -> Sequence[str | Path]:
        return as_user(super().command(), self.directory)

    @property
    def port(self) -> int:
        """The listener that asks Signet."""
        return self.ext_authz


@pytest.mark.parametrize("name", ["nginx", "caddy", "envoy"])
@pytest.mark.parametrize("group", [GROUP, None])
def test_a_gateway_of_an_ordinary_user_gets_in_by_its_group_and_not_without(name: str, group: str | None, service: Service) -> None:
    if not is_there():
        leave_out("gateways of an ordinary user", f"only root can start them as {USER}, with setpriv")
    if name == "nginx" and NGINX is None:
        leave_out("nginx", "this machine has no nginx (Debian: apt install nginx-light)")
    # The mode is the default, 0660.
    sidecar = Reachable(algorithm="ES256", **({"socket_group": group} if group else {}))
    token = bearer(sidecar.sign(CLAIMS)["token"])
    if name == "envoy":
        gateway: OrdinaryEnvoy | Nginx | Caddy = OrdinaryEnvoy(sidecar, service)
    else:
        gateway = {"nginx": OrdinaryNginx, "caddy": OrdinaryCaddy}[name](sidecar.socket, service)
    client = Client(gateway.port)
    try:
        assert client.get("/orders", [token]).status == (200 if group else 503)
        assert client.get("/orders").status == (401 if group else 503)
        assert client.get("/public/page").status == 200
    finally:
        client.close()
        gateway.stop()
        assert sidecar.stop() == 0
