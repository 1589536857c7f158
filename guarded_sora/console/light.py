"""The integrity light: is the newest entry proven by the newest signed checkpoint?"""

from __future__ import annotations

import time
from dataclasses import dataclass
from threading import Lock

from guarded_sora.audit.errors import AuditError
from guarded_sora.audit.verifier import CheckFailed, check_proof
from guarded_sora.server.state import Server

_FOR_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    """``state`` is ``holds``, ``empty`` or ``broken``; ``size`` and ``root`` are the checkpoint's."""

    state: str
    size: int
    root: str
    said: str


_lock = Lock()
_seen: dict[int, tuple[float, Light]] = {}


def light(server: Server) -> Light:
    """The light, looked up at most every few seconds.

    It proves the newest entry, not every row: the full re-hash is a button of the log page.
    """
    now = time.monotonic()
    with _lock:
        at, known = _seen.get(id(server), (0.0, None))
        if known is not None and now - at < _FOR_SECONDS:
            return known
    fresh = _look(server)
    with _lock:
        if len(_seen) > 64:
            _seen.clear()
        _seen[id(server)] = (now, fresh)
    return fresh


def _look(server: Server) -> Light:
    log = server.services.log
    try:
        size = log.size
        if size == 0:
            return Light(state="empty", size=0, root="", said="The log holds nothing yet.")
        proof = log.prove(size - 1)
        checked = check_proof(proof.text(), proof.entry, proof.key)
    except (AuditError, CheckFailed) as error:
        return Light(state="broken", size=0, root="", said=str(error))
    return Light(
        state="holds",
        size=checked.size,
        root=checked.root.hex(),
        said=f"Entry {checked.index} is proven by the checkpoint of {checked.size} entries.",
    )
