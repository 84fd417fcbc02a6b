"""A worker and a client made by hand, for saying to the scheduler what no honest one says.

Owns: heartbeats, reports and allocations as JSON.  Must not know: the product's code but for the values of dist/messages.py.
"""

import base64
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from tests.farm.harness import wire
from tests.farm.harness.farm import Farm
from tests.farm.harness.network import Host

from sccache.dist.messages import VERSION, Allocate, Granted, Heartbeat, Refused, Report

TOOLCHAIN = "ab" * 32


@dataclass
class HandMadeWorker:
    """Known to the scheduler by the token of its address; nothing listens there."""

    farm: Farm
    host: Host
    port: int
    slots: int = 2
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    nonce: str = field(default_factory=lambda: secrets.token_hex(8))
    certificate: str = field(default_factory=lambda: secrets.token_hex(32))

    def __post_init__(self) -> None:
        """Its token is a true one."""
        self.address = f"{self.host.address}:{self.port}"
        self.token = self.farm.server_token(self.address)

    @property
    def job_key(self) -> str:
        """As heartbeats have it."""
        return base64.urlsafe_b64encode(self.key).rstrip(b"=").decode()

    def heartbeat(
        self, *, token: str | None = "", host: Host | None = None, headers: Mapping[str, str] | None = None, **changes: Any
    ) -> wire.Answer:
        """Say that it is there; `token` None: say it without."""
        given: dict[str, Any] = {
            "nonce": self.nonce, "cores": self.slots, "slots": self.slots, "job_key": self.job_key, "certificate": self.certificate,
            "running": (), "toolchains": (), "draining": False, "version": VERSION, **changes,
        }  # fmt: skip
        return self._post("heartbeat", msgspec.json.encode(given), token, host, headers)

    def report(self, report: Report, token: str | None = "", host: Host | None = None) -> wire.Answer:
        """Say what began and ended."""
        return self._post("report", msgspec.json.encode(report), token, host, None)

    def _post(self, what: str, body: bytes, token: str | None, host: Host | None, headers: Mapping[str, str] | None) -> wire.Answer:
        bearer = self.token if token == "" else token
        return self.farm.scheduler.ask(host or self.host, "POST", f"/api/v2/{what}", body, token=bearer, headers=headers)


def heartbeat_of(worker: HandMadeWorker) -> Heartbeat:
    """The honest one."""
    return Heartbeat(worker.nonce, worker.slots, worker.slots, worker.job_key, worker.certificate)


def allocate(farm: Farm, host: Host, request: Allocate | None = None, token: str | None = "") -> wire.Answer:
    """Ask for a place."""
    body = msgspec.json.encode(request or Allocate(TOOLCHAIN))
    return farm.scheduler.ask(host, "POST", "/api/v2/allocate", body, token=farm.client_token if token == "" else token)


def place(answer: wire.Answer) -> Granted | Refused:
    """What was said to a request for a place."""
    assert answer.status == 200, answer
    said: Granted | Refused = msgspec.json.decode(answer.body, type=Granted | Refused)
    return said


def granted(farm: Farm, host: Host, request: Allocate | None = None) -> Granted:
    """A place that is there."""
    said = place(allocate(farm, host, request))
    assert isinstance(said, Granted), said
    return said
