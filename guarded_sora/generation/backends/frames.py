"""What all backends check the same way: the request before, the frames after."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from guarded_sora.errors import GenerationFailed, UsageError
from guarded_sora.generation.contract import GenerationRequest, PromptKind

MAX_SIDE = 16_384
MAX_PIXELS = 4_000_000_000
"""Most pixels of a returned clip (T * H * W)."""


class Stopped(Exception):
    """Raised inside a third-party loop to end it: on_step said no."""


def check_request(request: GenerationRequest, accepts: frozenset[PromptKind]) -> None:
    """Raise ``UsageError`` where no backend can make a request, or none that only ``accepts`` so much."""
    if not request.prompt.strip():
        raise UsageError("The prompt is empty; say what to make.")
    if not (math.isfinite(request.seconds) and 0 < request.seconds <= 3600):
        raise UsageError("The duration must be more than 0 and at most 3600 seconds.")
    if request.fps is not None and not (math.isfinite(request.fps) and 0 < request.fps <= 240):
        raise UsageError("The frame rate must be more than 0 and at most 240.")
    for side in (request.width, request.height):
        if side is not None and not 1 <= side <= MAX_SIDE:
            raise UsageError(f"Width and height must lie between 1 and {MAX_SIDE} pixels.")
    if request.steps is not None and not 1 <= request.steps <= 1000:
        raise UsageError("The number of steps must lie between 1 and 1000.")
    if request.guidance is not None and not (
        math.isfinite(request.guidance) and 0 <= request.guidance <= 100
    ):
        raise UsageError("The guidance must lie between 0 and 100.")
    if not -(2**63) <= request.seed < 2**63:
        raise UsageError("The seed must fit into 64 bits.")
    if request.image is not None and request.video is not None:
        raise UsageError("Give an image or a video as prompt, not both.")
    _check_prompts(request, accepts)


def _check_prompts(request: GenerationRequest, accepts: frozenset[PromptKind]) -> None:
    for kind, wanted in (
        ("image", request.image is not None),
        ("video", request.video is not None),
        ("until", request.until is not None),
        ("loop", request.loop),
        ("mask", request.mask is not None),
    ):
        if wanted and kind not in accepts:
            sibling = f"; load its {kind}-to-video sibling" if kind in ("image", "video") else ""
            raise UsageError(f"This generator takes no {kind} prompt{sibling or '; leave it out'}.")
    if request.mask is not None and (request.video is None or request.until is not None or request.loop):
        raise UsageError("A mask goes with a film to be changed, and with nothing it should end with.")
    if request.loop and (request.until is not None or request.video is not None):
        raise UsageError("A loop ends as it begins: give a picture to begin with, or nothing.")
    if request.mask is not None and (request.mask.dtype != np.bool_ or request.mask.ndim != 2):
        raise UsageError("The mask must be bool with 2 axes, True where the film is made anew.")
    for name, picture, axes in (
        ("image", request.image, 3),
        ("video", request.video, 4),
        ("until", request.until, 4),
    ):
        if picture is None:
            continue
        shape = np.shape(picture)
        if getattr(picture, "dtype", None) != np.uint8 or len(shape) != axes or shape[-1] != 3:
            raise UsageError(f"The {name} prompt must be uint8 with {axes} axes, the last of 3 channels.")
        if 0 in shape or max(shape[-3:-1]) > MAX_SIDE:
            raise UsageError(f"The {name} prompt is empty or larger than {MAX_SIDE} pixels on a side.")


def to_frames(value: Any) -> NDArray[np.uint8]:
    """Frames of any generator as uint8 (T, H, W, 3), contiguous.

    Takes arrays, tensors or lists of pictures: uint8, or float in [0, 1]. Grey pictures (T, H, W)
    or with one channel are repeated, a fourth channel (alpha) is dropped. Raises
    ``GenerationFailed`` for anything else.
    """
    if hasattr(value, "detach"):
        value = value.detach().cpu().float().numpy() if value.is_floating_point() else value.cpu().numpy()
    try:
        frames = np.asarray(value if not isinstance(value, list | tuple) else [np.asarray(f) for f in value])
    except (ValueError, TypeError) as error:
        raise GenerationFailed("The generator's frames are no array; return uint8 (T, H, W, 3).") from error
    if frames.ndim == 3 and frames.shape[-1] not in (1, 3, 4):
        frames = frames[..., None]
    if frames.ndim != 4 or frames.shape[-1] not in (1, 3, 4) or 0 in frames.shape:
        raise GenerationFailed(
            f"The generator's frames have the shape {frames.shape}; return uint8 (T, H, W, 3)."
        )
    if max(frames.shape[1:3]) > MAX_SIDE or math.prod(frames.shape[:3]) > MAX_PIXELS:
        raise GenerationFailed("The generator's frames are larger than can be guarded; make a smaller clip.")
    if frames.dtype != np.uint8:
        if not np.issubdtype(frames.dtype, np.floating):
            raise GenerationFailed(
                f"The generator's frames are {frames.dtype}; return uint8 or float in [0, 1]."
            )
        if not np.isfinite(frames).all() or frames.min() < -1e-3 or frames.max() > 1 + 1e-3:
            raise GenerationFailed(
                "The generator's float frames leave [0, 1] or are not finite; scale them first."
            )
        frames = np.rint(np.clip(frames, 0, 1).astype(np.float32) * 255).astype(np.uint8)
    frames = np.repeat(frames, 3, -1) if frames.shape[-1] == 1 else frames[..., :3]
    return np.ascontiguousarray(frames)
