"""signet-gateway with the configuration of deploy/gateways."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from processes import Service, adapted
from program import LOOPBACK, ROOT, Program, answers, free_port

SIGNET_KRAKEND_JSON = ROOT / "deploy/gateways/signet/krakend.json"


class SignetGateway(Program):
    """signet-gateway with the JWKS of an issuer, which it keeps for this time in seconds."""

    name = "signet-gateway"

    def __init__(
        self,
        issuer: str,
        service: Service,
        origin: str = "https://shop.example.com",
        algorithm: str = "ES256",
        cache_duration: int = 600,
    ) -> None:
        self._issuer, self._service, self._origin, self._algorithm = issuer, service, origin, algorithm
        self._cache_duration = cache_duration
        super().__init__()

    def command(self) -> Sequence[str | Path]:
        self.port = free_port()
        configuration = self.directory / "krakend.json"
        configuration.write_text(
            adapted(
                SIGNET_KRAKEND_JSON,
                [
                    ('"port": 10000', f'"listen_ip": "{LOOPBACK}", "port": {self.port}'),
                    ('"jwk_url": "http://127.0.0.1:8080/', f'"jwk_url": "{self._issuer}/'),
                    ('"issuer": "http://localhost:8080"', f'"issuer": "{self._issuer}"'),
                    ('"http://127.0.0.1:8000"', f'"http://{LOOPBACK}:{self._service.port}"'),
                    ('"https://shop.example.com"', f'"{self._origin}"'),
                    ('"cache_duration": 600', f'"cache_duration": {self._cache_duration}'),
                    ('"alg": "ES256"', f'"alg": "{self._algorithm}"'),
                ],
            )
        )
        return [Path(os.environ["SIGNET_BIN"]).with_name("signet-gateway"), "run", "-c", configuration]

    def environment(self) -> Mapping[str, str]:
        # The last good keys of an earlier test's issuer are of no use to the next one.
        return os.environ | {"XDG_STATE_HOME": str(self.directory)}

    def is_ready(self) -> bool:
        return answers(f"http://{LOOPBACK}:{self.port}/__health")
