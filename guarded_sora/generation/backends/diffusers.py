"""Any diffusers video pipeline as a backend: an object, a local folder, or a hub id that is named.

Only safetensors are read and remote code is never run. What a pipeline does not take is left out:
its own signature decides. Sizes are snapped to what it can make, with a warning.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from guarded_sora.errors import BackendUnavailable, GenerationFailed, UsageError
from guarded_sora.generation.backends.frames import Stopped, check_request, to_frames
from guarded_sora.generation.contract import (
    BackendInfo,
    Clip,
    GenerationRequest,
    OnStep,
    PromptKind,
    StepEvent,
)

# (size multiple, frame step, frames per second) by the first letters of the pipeline's class.
_FAMILIES: tuple[tuple[str, tuple[int, int, float]], ...] = (
    ("GuardedSora", (2, 4, 8.0)),
    ("Wan", (16, 4, 16.0)),
    ("SkyReels", (16, 4, 24.0)),
    ("LTX", (32, 8, 25.0)),
    ("CogVideoX", (16, 4, 8.0)),
    ("Hunyuan", (16, 4, 24.0)),
    ("Cosmos", (16, 8, 24.0)),
    ("Mochi", (16, 6, 30.0)),
    ("Helios", (16, 1, 16.0)),
    ("Allegro", (16, 1, 15.0)),
    ("Latte", (16, 1, 8.0)),
)
_OTHER = (16, 4, 8.0)

_SIBLINGS: dict[str, dict[PromptKind, str]] = {
    "WanPipeline": {"video": "WanVideoToVideoPipeline"},
    "LTXPipeline": {"image": "LTXImageToVideoPipeline", "video": "LTXConditionPipeline"},
    "LTXImageToVideoPipeline": {"text": "LTXPipeline", "video": "LTXConditionPipeline"},
    "CogVideoXPipeline": {"video": "CogVideoXVideoToVideoPipeline"},
    "CogVideoXVideoToVideoPipeline": {"text": "CogVideoXPipeline"},
    "WanVideoToVideoPipeline": {"text": "WanPipeline"},
}
"""Classes that run the same weights for another kind of prompt; they share every component."""


def load_pipeline(source: str | Path, *, hub: bool = False) -> Any:
    """A pipeline from a local folder, or from the hub where ``hub``; raises ``BackendUnavailable``."""
    folder = Path(source)
    if not hub:
        index = folder / "model_index.json"
        if not index.is_file():
            raise BackendUnavailable(
                "The folder holds no model_index.json; name a diffusers pipeline's folder."
            )
        try:
            name = json.loads(index.read_text())["_class_name"]
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise BackendUnavailable(
                "The folder's model_index.json cannot be read; download it again."
            ) from error
        if not any(folder.rglob("*.safetensors")):
            raise BackendUnavailable(
                "The folder holds no safetensors; other weight formats can run code, convert it."
            )
    else:
        name = None
    try:
        import diffusers
        import torch
    except ImportError as error:
        raise BackendUnavailable(
            "This backend needs torch and diffusers; install guarded-sora[generate]."
        ) from error
    kind: Any = diffusers.DiffusionPipeline
    if name == "GuardedSoraPipeline":
        from guarded_sora.generation.pipeline import GuardedSoraPipeline as kind
    elif isinstance(name, str) and not hasattr(diffusers, name):
        raise BackendUnavailable(
            "The folder's pipeline class is unknown to this diffusers; its own code is never run."
        )
    half = torch.cuda.is_available()
    try:
        pipeline = kind.from_pretrained(
            str(source),
            local_files_only=not hub,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.bfloat16 if half else torch.float32,
        )
        return pipeline.to("cuda") if half else pipeline
    except Exception as error:
        what = (
            f"{source} could not be fetched from the hub or holds no safetensors pipeline "
            f"({type(error).__name__}); check the name and the network, or download it and name its folder."
            if hub
            else f"The pipeline could not be loaded ({type(error).__name__}); check that its files are whole."
        )
        raise BackendUnavailable(what) from error


class DiffusersBackend:
    """A backend around one pipeline object. One generation runs at a time."""

    def __init__(
        self,
        pipeline: Any,
        *,
        name: str | None = None,
        licence: str = "unknown",
        weights_sha256: str | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        self.pipeline = pipeline
        self._options = dict(options or {})
        self._lock = threading.Lock()
        label = type(pipeline).__name__
        self._others: dict[PromptKind, Any] = {}
        takes = _takes(pipeline)
        multiple, step, fps = next((v for start, v in _FAMILIES if label.startswith(start)), _OTHER)
        needs_picture = {"image", "video"} & _required(pipeline)
        accepts: set[PromptKind] = {"text"} if "prompt" in takes and not needs_picture else set()
        accepts |= {"image"} if "image" in takes else set()
        accepts |= {"video"} if "video" in takes else set()
        accepts |= set(_SIBLINGS.get(label, {}))
        self._info = BackendInfo(
            name=name or f"diffusers:{label}",
            version=str(getattr(pipeline, "config", {}).get("_diffusers_version", "unknown")),
            licence=licence,
            weights_sha256=weights_sha256,
            accepts=frozenset(accepts),
            size_multiple=multiple,
            frame_step=step,
            native_fps=fps,
            native_size=self._native_size(multiple),
            max_frames=1_000_000,
        )

    @classmethod
    def from_source(cls, source: str | Path, *, hub: bool = False) -> DiffusersBackend:
        """Load a folder, or a hub id where ``hub``; raises ``BackendUnavailable``."""
        from guarded_sora.generation.packaged import digest

        pipeline = load_pipeline(source, hub=hub)
        return cls(pipeline, weights_sha256=None if hub else digest(Path(source)))

    @property
    def info(self) -> BackendInfo:
        return self._info

    def _native_size(self, multiple: int) -> tuple[int, int]:
        """(height, width) that the pipeline's own defaults give."""
        sides = []
        for side in ("height", "width"):
            parameter = inspect.signature(type(self.pipeline).__call__).parameters.get(side)
            default = parameter.default if parameter else None
            sides.append(default if isinstance(default, int) else 512 // multiple * multiple)
        return sides[0], sides[1]

    def generate(self, request: GenerationRequest, on_step: OnStep | None = None) -> Clip:
        """Make the clip; see ``VideoBackend``. A stopped pipeline works again at the next call."""
        check_request(request, self._info.accepts)
        if request.image is None and request.video is None and "text" not in self._info.accepts:
            raise UsageError("This pipeline needs a picture or a film to start from; give one.")
        notes: list[str] = []
        with self._lock:
            pipeline = self._for(request)
            call, settings = self._arguments(pipeline, request, notes)
            try:
                with _stepping(pipeline, call, settings["steps"], on_step):
                    made = pipeline(**call)
                frames = to_frames(_first(made))
            except Stopped:
                raise GenerationFailed(
                    "The generation was stopped before it ended; nothing was made."
                ) from None
            except (GenerationFailed, UsageError):
                raise
            except Exception as error:
                raise GenerationFailed(
                    f"The pipeline failed ({type(error).__name__}); try its default size and length."
                ) from error
            finally:
                with contextlib.suppress(Exception):
                    pipeline.maybe_free_model_hooks()
        reading = getattr(made, "readings", None)
        return Clip(
            frames=frames,
            fps=request.fps or self._info.native_fps,
            info=self._info,
            in_domain=reading[0].in_domain if reading else None,
            warnings=tuple(notes),
            settings=settings,
        )

    def _for(self, request: GenerationRequest) -> Any:
        """The pipeline for this kind of prompt: ours, or a sibling around the same components."""
        kind: PromptKind = "text"
        if request.image is not None or request.video is not None:
            kind = "image" if request.image is not None else "video"
        name = _SIBLINGS.get(type(self.pipeline).__name__, {}).get(kind)
        if name is None:
            return self.pipeline
        if kind not in self._others:
            import diffusers

            try:
                self._others[kind] = getattr(diffusers, name).from_pipe(self.pipeline)
            except Exception as error:
                raise BackendUnavailable(
                    f"{name} cannot run this checkpoint ({type(error).__name__}); load one made for {kind}."
                ) from error
            self._others[kind].set_progress_bar_config(disable=True)
        return self._others[kind]

    def _arguments(
        self, pipeline: Any, request: GenerationRequest, notes: list[str]
    ) -> tuple[dict[str, Any], dict[str, str | int | float]]:
        import torch

        info = self._info
        fps = request.fps or info.native_fps
        wanted = max(1, round(request.seconds * fps))
        frames = 1 + -(-(wanted - 1) // info.frame_step) * info.frame_step
        if frames != wanted:
            notes.append(f"{wanted} frames became {frames}, which the pipeline can make.")
        height, width = (
            self._snap(request_side, native, notes)
            for request_side, native in zip((request.height, request.width), info.native_size, strict=True)
        )
        steps = request.steps or _default(pipeline, "num_inference_steps", 50)
        offered: dict[str, Any] = {
            "prompt": request.prompt,
            "negative_prompt": request.negative_prompt or None,
            "height": height,
            "width": width,
            "num_frames": frames,
            "video_length": frames,
            "frame_rate": fps,
            "num_inference_steps": steps,
            "generator": torch.Generator().manual_seed(request.seed),
            "output_type": "np",
            "return_dict": True,
        }
        if request.guidance is not None:
            offered["guidance_scale"] = request.guidance
        if request.image is not None:
            offered["image"] = _pil(request.image)
        if request.video is not None:
            offered["video"] = [_pil(frame) for frame in request.video]
        offered.update(self._options)
        offered.update(request.extra)
        takes = _takes(pipeline)
        call = {name: value for name, value in offered.items() if name in takes}
        ignored = sorted(set(request.extra) - set(call))
        if ignored:
            notes.append(f"{len(ignored)} extra arguments are unknown to the pipeline and had no effect.")
        settings: dict[str, str | int | float] = {
            "steps": int(steps), "seed": request.seed, "frames": int(call.get("num_frames", frames)),
            "height": int(call.get("height", height)), "width": int(call.get("width", width)),
            "scheduler": type(getattr(pipeline, "scheduler", None)).__name__,
        }  # fmt: skip
        if request.guidance is not None and "guidance_scale" in call:
            settings["guidance"] = request.guidance
        return call, settings

    def _snap(self, wanted: int | None, native: int, notes: list[str]) -> int:
        multiple = self._info.size_multiple
        side = max(multiple, round((wanted or native) / multiple) * multiple)
        if wanted is not None and side != wanted:
            notes.append(f"A side of {wanted} pixels became {side}, which the pipeline can make.")
        return side


def _takes(pipeline: Any) -> set[str]:
    """Names of the arguments that the pipeline's call has."""
    return set(inspect.signature(type(pipeline).__call__).parameters)


def _required(pipeline: Any) -> set[str]:
    """Names of those that have no default."""
    parameters = inspect.signature(type(pipeline).__call__).parameters.values()
    return {p.name for p in parameters if p.default is inspect.Parameter.empty}


def _default(pipeline: Any, name: str, other: int) -> int:
    parameter = inspect.signature(type(pipeline).__call__).parameters.get(name)
    return parameter.default if parameter and isinstance(parameter.default, int) else other


@contextlib.contextmanager
def _stepping(pipeline: Any, call: dict[str, Any], steps: Any, on_step: OnStep | None) -> Iterator[None]:
    """Report steps through the pipeline's callback, or by wrapping its scheduler's ``step``."""
    if on_step is None:
        yield
        return
    total, seen = int(steps), 0

    def report() -> None:
        nonlocal seen
        seen += 1
        if not on_step(StepEvent(step=seen, steps=max(total, seen))):
            raise Stopped

    if "callback_on_step_end" in _takes(pipeline):

        def step_end(_pipe: Any, _index: int, _timestep: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
            report()
            return kwargs

        call["callback_on_step_end"] = step_end
        yield
        return
    scheduler = getattr(pipeline, "scheduler", None)
    if scheduler is None:
        yield
        return
    original: Callable[..., Any] = scheduler.step

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        report()
        return result

    scheduler.step = wrapped
    try:
        yield
    finally:
        del scheduler.step


def _first(made: Any) -> Any:
    """The first clip of a pipeline's output."""
    frames = getattr(made, "frames", None)
    if frames is None:
        frames = made[0] if isinstance(made, tuple) and made else None
    if frames is None or len(frames) == 0:
        raise GenerationFailed("The pipeline returned no frames; it may not be a video pipeline.")
    return frames[0]


def _pil(picture: Any) -> Any:
    from PIL import Image

    return Image.fromarray(picture)
