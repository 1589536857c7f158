"""Pictures and films given as a prompt: parsed in the worker, checked, and kept as ingredients."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from guarded_sora.checks import check_frames
from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.errors import MediaError
from guarded_sora.finish import READ
from guarded_sora.marks import look_for_public_marks, read_public_marks
from guarded_sora.media import FrameStream, read_image
from guarded_sora.passage import Passage
from guarded_sora.policies.finding import CheckRun, CheckState
from guarded_sora.prompts import PromptRequest
from guarded_sora.provenance.clip_id import ClipId
from guarded_sora.provenance.credentials.manifest import Ingredient
from guarded_sora.provenance.credentials.states import Credentials, State
from guarded_sora.provenance.watermark.contract import MarkEvidence, MarkState

LONGEST_VIDEO_PROMPT = 96  # frames; the generator continues from the last few

# Claims that do not hold say that somebody changed the picture after it was signed.
_BROKEN = (State.TAMPERED, State.INVALID_MANIFEST, State.REJECTED_BY_GUARD)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inputs:
    """``image`` uint8 (H, W, 3) or ``video`` uint8 (T, H, W, 3), sRGB, with the files they came from."""

    image: NDArray[np.uint8] | None = None
    video: NDArray[np.uint8] | None = None
    ingredients: tuple[Ingredient, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.ingredients)


def read_inputs(passage: Passage, request: PromptRequest) -> Inputs:
    """Parse and check what the request brings; findings go into ``passage``.

    Raises:
        MediaError: not a picture or film we can read, or its own credentials do not hold.
    """
    if request.image is not None:
        passage.progress.stage("read_image_prompt")
        with passage.runner.here("read_image_prompt"):
            path = passage.keep(request.image, "image-prompt")
            image = read_image(path, passage.services.worker)
        batch = FrameBatch(frames=image[None], times=np.zeros(1), fps=1.0)
        check_frames(passage, [batch], stage="image_prompt_checks")
        carried = _known_mark(passage, [batch], [batch])
        return Inputs(image=image, ingredients=(_ingredient(passage, path, "image prompt", carried),))
    if request.video is not None:
        path = passage.keep(request.video, "video-prompt")
        stream = FrameStream(path, passage.services.worker, max_short_side=720)
        check_frames(passage, stream, stage="video_prompt_checks", scope="edit")
        passage.progress.stage("read_video_prompt")
        with passage.runner.here("read_video_prompt"):
            last = deque((frame for batch in stream for frame in batch.frames), LONGEST_VIDEO_PROMPT)
            video = np.stack(last)
        small = FrameStream(path, passage.services.worker, max_short_side=360, sample_fps=8.0)
        carried = _known_mark(passage, small, look_for_public_marks(path, passage.services.worker))
        return Inputs(video=video, ingredients=(_ingredient(passage, path, "video prompt", carried),))
    return Inputs()


def read_credentials(passage: Passage, path: Path, *, stage: str) -> Credentials:
    """The credentials of a stranger's file, read in the worker and noted as a check.

    Raises:
        MediaError: they do not hold.
    """
    passage.progress.stage(stage)
    found: Credentials = passage.runner.run_in_worker(
        stage, READ, path, passage.services.trust, deadline=passage.services.settings.deadlines.parse
    )
    passage.runner.record(
        CheckRun(name="credentials.input", version="1", state=CheckState.RAN, result=found.state.value)
    )
    if found.state in _BROKEN:
        raise MediaError(
            f"The file given as input carries credentials that do not hold ({found.state.value}); "
            "use the file as its signer released it."
        )
    return found


def _known_mark(passage: Passage, frames: Iterable[FrameBatch], full: Iterable[FrameBatch]) -> str:
    """The mark that an input carries, for the record and for the ingredient's title; empty for none.

    What the clip is made of stays visible that way even where the input has no credentials. ``full``:
    the input at its own size, for marks of others.
    """
    services = passage.services
    found: MarkEvidence = passage.stage(
        "read_input_mark", services.mark.detect, frames, deadline=services.settings.deadlines.mark
    )
    carried = ""
    if found.payload is not None and found.state is MarkState.PRESENT:
        carried = str(ClipId(issuer=services.keys.issuer, id=found.payload.id))
    else:
        public, _ = read_public_marks(services, passage.runner, full)
        names = [str(item.detail["message"]) for item in public if item.state == MarkState.PRESENT.value]
        carried = f"public mark {names[0]}" if names else ""
    passage.runner.record(
        CheckRun(
            name="watermark.input",
            version=found.mark_version,
            state=CheckState.RAN,
            result=carried or found.state.value,
        )
    )
    return carried


def _ingredient(passage: Passage, path: Path, title: str, carried: str) -> Ingredient:
    read_credentials(passage, path, stage="read_input_credentials")
    return Ingredient(
        path=path, relationship="inputTo", title=f"{title}, carries {carried}" if carried else title
    )
