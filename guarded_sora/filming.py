"""Run the backend, watching its progress and looking early at what it is about to make."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from guarded_sora.checks import inspect_frames
from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.errors import GenerationFailed, StageFailed
from guarded_sora.generation.contract import BackendInfo, Clip, GenerationRequest, StepEvent, VideoBackend
from guarded_sora.passage import Passage
from guarded_sora.policies.finding import Action, Decision

EARLY_LOOK_AT = 0.4  # of the steps: by then the predicted film is recognisable


def film(passage: Passage, backend: VideoBackend, request: GenerationRequest) -> Clip:
    """Run the backend, watching its progress and looking early at what it is about to make."""
    early: list[Decision] = []

    def on_step(event: StepEvent) -> bool:
        passage.progress.step(event.step, event.steps)
        due = event.step == max(1, math.ceil(EARLY_LOOK_AT * event.steps))
        if due and event.preview is not None and passage.services.settings.preview:
            decision = _look_early(passage, event.preview(), backend.info.native_fps)
            if decision is not None and decision.action is Action.BLOCK:
                early.append(decision)
                return False
        return True

    try:
        clip: Clip = passage.stage(
            "generate",
            backend.generate,
            request,
            on_step,
            deadline=passage.services.settings.deadlines.generate,
        )
    except GenerationFailed:
        if early:
            passage.refuse(early[0])
        raise
    if not _is_film(clip):
        raise StageFailed("generate", "the backend returned no film (uint8 frames, T x H x W x 3)")
    # A copy of our own: the backend may keep its array and change it after the checks.
    return replace(clip, frames=clip.frames.copy())


def _is_film(clip: object) -> bool:
    """Whether a backend kept its contract; it may be anybody's code."""
    if not isinstance(clip, Clip) or not isinstance(clip.info, BackendInfo):
        return False
    if not isinstance(clip.frames, np.ndarray) or not 0 < clip.fps < math.inf:
        return False
    frames = clip.frames
    return frames.dtype == np.uint8 and frames.ndim == 4 and frames.shape[3] == 3 and len(frames) > 0


def _look_early(passage: Passage, preview: np.ndarray, fps: float) -> Decision | None:
    """The decision over words and a preview; None when no frame check can run here."""
    able = [check for check in passage.services.frame_checks if not check.unavailable]
    if not able:
        return None
    times = np.arange(len(preview), dtype=np.float64) / fps
    batch = FrameBatch(frames=np.ascontiguousarray(preview), times=times, fps=fps)
    findings, checks = inspect_frames(passage, [batch], able)
    # A preview is rough: only a finding counts here, a check that failed on it will run again.
    return passage.services.policy.decide((*passage.findings, *findings), passage.context, checks[:0])
