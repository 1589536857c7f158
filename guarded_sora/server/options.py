"""What an operator chooses for ``guarded-sora serve``."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """Bounds and addresses of one server process.

    ``workers``: films made at the same time. ``queue``: how many may wait; one more is answered
    429. ``checks``: verifications at the same time. ``upload_mib`` bounds what ``/v1/verify`` and
    ``/check`` take, ``reference_mib`` a picture or film given to ``/v1/videos``. A client that
    sends nothing for ``idle_seconds``, or is not done after ``body_seconds``, is cut off. ``judges``:
    requests whose words and pictures are judged at once, at the door and for ``/v1/moderations``, each
    within ``judge_seconds``. ``check_seconds`` bounds each leg of a verification: reading the mark,
    comparing the picture, looking for labels.
    ``public_url`` is the address that clients see; with https cookies are marked secure.
    ``lease_seconds``: after so long without a sign of life a job's process counts as dead.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    queue: int = 100
    checks: int = 2
    upload_mib: int = 512
    reference_mib: int = 32
    idle_seconds: float = 20.0
    body_seconds: float = 600.0
    judges: int = 4
    judge_seconds: float = 20.0
    check_seconds: float = 120.0
    public_url: str = ""
    lease_seconds: float = 15.0

    @property
    def base_url(self) -> str:
        """Where clients reach this server, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (self.public_url or f"http://{host}:{self.port}").rstrip("/")
