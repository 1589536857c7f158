"""Any function as a backend: ``frames = function(request)``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

from guarded_sora.errors import GenerationFailed, GuardedSoraError
from guarded_sora.generation.backends.frames import Stopped, check_request, to_frames
from guarded_sora.generation.contract import (
    BackendInfo,
    Clip,
    GenerationRequest,
    OnStep,
    PromptKind,
    StepEvent,
    VideoBackend,
)


class CallableBackend:
    """Wraps a function that takes a ``GenerationRequest`` and returns frames, or a ``Clip``.

    Frames are uint8 (T, H, W, 3), or float in [0, 1]; arrays, tensors or lists of pictures. Their
    rate is the request's, or 8 frames a second.
    """

    def __init__(
        self,
        function: Callable[[GenerationRequest], Any],
        *,
        name: str | None = None,
        version: str = "0",
        licence: str = "unknown",
        native_fps: float = 8.0,
    ) -> None:
        self._function = function
        label = name or getattr(function, "__name__", type(function).__name__)
        self._info = BackendInfo(
            name=f"callable:{label}",
            version=version,
            licence=licence,
            accepts=frozenset(get_args(PromptKind)),
            size_multiple=1,
            native_fps=native_fps,
            max_frames=1_000_000,
        )

    @property
    def info(self) -> BackendInfo:
        return self._info

    def generate(self, request: GenerationRequest, on_step: OnStep | None = None) -> Clip:
        """Call the function and check what it returns; every exception becomes ``GenerationFailed``."""
        check_request(request, self._info.accepts)
        try:
            made = self._function(request)
            if isinstance(made, Clip):
                return made
            frames = to_frames(made)
            if on_step is not None and not on_step(StepEvent(step=1, steps=1, preview=lambda: frames)):
                raise Stopped
        except Stopped:
            raise GenerationFailed("The generation was stopped before it ended; nothing was made.") from None
        except GuardedSoraError:
            raise
        except Exception as error:
            raise GenerationFailed(
                f"The generator's function raised {type(error).__name__}; call it by itself to see why."
            ) from error
        return Clip(frames=frames, fps=request.fps or self._info.native_fps, info=self._info,
                    settings={"seed": request.seed})  # fmt: skip


def as_backend(thing: VideoBackend | Callable[[GenerationRequest], Any]) -> VideoBackend:
    """A backend stays what it is; a function is wrapped."""
    return thing if isinstance(thing, VideoBackend) else CallableBackend(thing)
