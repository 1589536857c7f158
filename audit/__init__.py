"""A tamper-evident SQL log: events in, proofs out. Imports nothing of ours outside this package.

Names load on first use, so that the stand-alone verifier runs without SQL.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from guarded_sora.audit.append import Appended
    from guarded_sora.audit.case import Case
    from guarded_sora.audit.cases import CaseBook
    from guarded_sora.audit.checkpoint import Checkpoint
    from guarded_sora.audit.entry import Entry, Event, uuid7
    from guarded_sora.audit.errors import AuditError
    from guarded_sora.audit.log import AuditLog
    from guarded_sora.audit.proof import ConsistencyProof, Proof
    from guarded_sora.audit.rehash import Problem, VerifyReport

_HOMES = {
    "Appended": "append",
    "AuditError": "errors",
    "AuditLog": "log",
    "Case": "case",
    "CaseBook": "cases",
    "Checkpoint": "checkpoint",
    "ConsistencyProof": "proof",
    "Entry": "entry",
    "Event": "entry",
    "Problem": "rehash",
    "Proof": "proof",
    "VerifyReport": "rehash",
    "uuid7": "entry",
}

__all__ = [
    "Appended",
    "AuditError",
    "AuditLog",
    "Case",
    "CaseBook",
    "Checkpoint",
    "ConsistencyProof",
    "Entry",
    "Event",
    "Problem",
    "Proof",
    "VerifyReport",
    "uuid7",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
