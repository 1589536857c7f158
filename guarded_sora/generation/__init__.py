"""Generation: a prompt goes in, frames come out. Importing this loads no torch.

The built-in generator lives in ``pipeline`` and ``models``; other generators join through
``load_backend``.
"""

from __future__ import annotations

from guarded_sora.generation.backends import load_backend
from guarded_sora.generation.contract import (
    BackendInfo,
    Clip,
    GenerationRequest,
    OnStep,
    StepEvent,
    VideoBackend,
)

__all__ = [
    "BackendInfo",
    "Clip",
    "GenerationRequest",
    "OnStep",
    "StepEvent",
    "VideoBackend",
    "load_backend",
]
