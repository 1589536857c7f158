"""Guarded Sora: text to video, checked, marked, signed and logged under one id.

Names load when they are first used, so that ``import guarded_sora`` stays light and never
imports torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from guarded_sora.errors import (
    BackendUnavailable,
    Blocked,
    GenerationFailed,
    GuardedSoraError,
    KeyMissing,
    MediaError,
    ProvenanceError,
    ReviewRequired,
    StageFailed,
    StoreError,
    UsageError,
)

if TYPE_CHECKING:
    from guarded_sora.api import GuardedSora
    from guarded_sora.evidence import Verdict
    from guarded_sora.policies.finding import Action, Decision, RequestContext
    from guarded_sora.provenance.clip_id import ClipId
    from guarded_sora.release import Release
    from guarded_sora.verdicts import VerdictName
    from guarded_sora.version import __version__

_HOMES = {
    "Action": "guarded_sora.policies.finding",
    "ClipId": "guarded_sora.provenance.clip_id",
    "Decision": "guarded_sora.policies.finding",
    "GuardedSora": "guarded_sora.api",
    "Release": "guarded_sora.release",
    "RequestContext": "guarded_sora.policies.finding",
    "Verdict": "guarded_sora.evidence",
    "VerdictName": "guarded_sora.verdicts",
    "__version__": "guarded_sora.version",
}

__all__ = [
    "Action",
    "BackendUnavailable",
    "Blocked",
    "ClipId",
    "Decision",
    "GenerationFailed",
    "GuardedSora",
    "GuardedSoraError",
    "KeyMissing",
    "MediaError",
    "ProvenanceError",
    "Release",
    "RequestContext",
    "ReviewRequired",
    "StageFailed",
    "StoreError",
    "UsageError",
    "Verdict",
    "VerdictName",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'guarded_sora' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
