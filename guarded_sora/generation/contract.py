"""The contract of a video backend: a request goes in, frames come out, nothing touches a file.

Legend: T frames, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

PromptKind = Literal["text", "image", "video", "until", "loop", "mask"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendInfo:
    """What a backend is; goes into the manifest and the log.

    ``weights_sha256`` and ``data_digest`` are hex or None where the backend cannot know them.
    ``size_multiple`` and ``frame_step`` tell which sizes it makes: H and W are multiples of the
    first, T is 1 + k * the second.
    """

    name: str
    version: str
    licence: str
    weights_sha256: str | None = None
    data_digest: str | None = None
    accepts: frozenset[PromptKind] = frozenset({"text"})
    size_multiple: int = 8
    frame_step: int = 1
    native_fps: float = 8.0
    native_size: tuple[int, int] = (256, 256)
    max_frames: int = 17


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    """What to make. ``image``/``video``: uint8 (H, W, 3) / (T, H, W, 3) sRGB or None: what it begins with.

    ``until``: uint8 (T, H, W, 3) or None, what it ends with, T = 1 for a picture; with ``loop`` it comes back
    to its first picture. ``mask``: bool (H, W) or None, True where ``video`` is made anew.
    ``width``/``height``/``fps`` are None for the backend's native ones; ``seconds`` > 0.
    """

    # Neither stands in the repr: a backend that logs its request must not log the words.
    prompt: str = field(repr=False)
    seconds: float = 2.0
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    seed: int = 0
    steps: int | None = None
    guidance: float | None = None
    negative_prompt: str = field(default="", repr=False)
    image: NDArray[np.uint8] | None = field(default=None, repr=False)
    video: NDArray[np.uint8] | None = field(default=None, repr=False)
    until: NDArray[np.uint8] | None = field(default=None, repr=False)
    loop: bool = False
    mask: NDArray[np.bool_] | None = field(default=None, repr=False)
    extra: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEvent:
    """Progress of a generation: ``step`` of ``steps``; ``preview`` decodes a cheap look when offered.

    ``preview()`` returns uint8 (T, H, W, 3) sRGB.
    """

    step: int
    steps: int
    preview: Callable[[], NDArray[np.uint8]] | None = None


OnStep = Callable[[StepEvent], bool]
"""Called after every step; returning False stops the generation early (``GenerationFailed``)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clip:
    """What a backend returns: ``frames`` uint8 (T, H, W, 3) contiguous sRGB. Never leaves the guard.

    ``in_domain`` is False where the backend says the prompt lies outside what it learned, None
    where it cannot say. ``settings`` holds what was really used (steps, guidance, seed ...).
    ``audio`` is a media file whose audio goes with the frames, or None.
    """

    frames: NDArray[np.uint8]
    fps: float
    info: BackendInfo
    in_domain: bool | None = None
    warnings: tuple[str, ...] = ()
    settings: Mapping[str, str | int | float] = field(default_factory=lambda: MappingProxyType({}))
    audio: Path | None = None


@runtime_checkable
class VideoBackend(Protocol):
    """What others may implement.

    ``generate`` raises ``GenerationFailed`` where it ran and made nothing, ``BackendUnavailable``
    where it cannot run, ``UsageError`` where the request cannot be made, and nothing else.
    """

    @property
    def info(self) -> BackendInfo: ...

    def generate(self, request: GenerationRequest, on_step: OnStep | None = None) -> Clip: ...
