"""Pictures and films given as a prompt: parsed in the worker, checked, and kept as ingredients."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from guarded_sora.checks import check_frames
from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.errors import MediaError, UsageError
from guarded_sora.finish import READ
from guarded_sora.marks import look_for_public_marks, read_public_marks
from guarded_sora.media import FrameStream, read_image
from guarded_sora.media.files import is_picture
from guarded_sora.passage import Passage
from guarded_sora.policies.finding import CheckRun, CheckState
from guarded_sora.prompts import PromptRequest
from guarded_sora.provenance.clip_id import ClipId
from guarded_sora.provenance.credentials.manifest import Ingredient
from guarded_sora.provenance.credentials.states import Credentials, State
from guarded_sora.provenance.watermark.contract import MarkEvidence, MarkState

LONGEST_VIDEO_PROMPT = 96  # frames; the generator continues from the last few
IMAGE, VIDEO, END = "image prompt", "video prompt", "end prompt"

# Claims that do not hold say that somebody changed the picture after it was signed.
_BROKEN = (State.TAMPERED, State.INVALID_MANIFEST, State.REJECTED_BY_GUARD)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inputs:
    """What was read of a request's files, sRGB, with the files it came from.

    ``image`` uint8 (H, W, 3), ``video`` and ``until`` uint8 (T, H, W, 3), ``mask`` bool (H, W).
    """

    image: NDArray[np.uint8] | None = None
    video: NDArray[np.uint8] | None = None
    until: NDArray[np.uint8] | None = None
    mask: NDArray[np.bool_] | None = None
    ingredients: tuple[Ingredient, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.ingredients)


def read_inputs(passage: Passage, request: PromptRequest) -> Inputs:
    """Parse and check what the request brings; findings go into ``passage``.

    Raises:
        MediaError: not a picture or film we can read, or its own credentials do not hold.
        UsageError: a mask of another shape than its film.
    """
    image = video = until = None
    ingredients: list[Ingredient] = []
    if request.image is not None:
        image, ingredient = _read_picture(passage, _kept(passage, request.image, IMAGE), IMAGE)
        ingredients.append(ingredient)
    if request.video is not None:
        path = _kept(passage, request.video, VIDEO)
        video, ingredient = _read_film(passage, path, VIDEO, first=request.mask is not None)
        ingredients.append(ingredient)
    if request.until is not None:
        path = _kept(passage, request.until, END)
        if is_picture(path):
            image_at_end, ingredient = _read_picture(passage, path, END)
            until = image_at_end[None]
        else:
            until, ingredient = _read_film(passage, path, END, first=True)
        ingredients.append(ingredient)
    mask = None
    if request.mask is not None and video is not None:
        mask = _read_mask(passage, request.mask, video)
    return Inputs(image=image, video=video, until=until, mask=mask, ingredients=tuple(ingredients))


def _read_picture(passage: Passage, path: Path, title: str) -> tuple[NDArray[np.uint8], Ingredient]:
    passage.progress.stage("read_image_prompt")
    with passage.runner.here("read_image_prompt"):
        image = read_image(path, passage.services.worker)
    batch = FrameBatch(frames=image[None], times=np.zeros(1), fps=1.0)
    check_frames(passage, [batch], stage="image_prompt_checks")
    carried = _known_mark(passage, [batch], [batch])
    return image, _ingredient(passage, path, title, carried)


def _read_film(
    passage: Passage, path: Path, title: str, *, first: bool
) -> tuple[NDArray[np.uint8], Ingredient]:
    """The ``first`` or the last frames of a film."""
    stream = FrameStream(path, passage.services.worker, max_short_side=720)
    check_frames(passage, stream, stage="video_prompt_checks", scope="edit")
    passage.progress.stage("read_video_prompt")
    with passage.runner.here("read_video_prompt"):
        frames = (frame for batch in stream for frame in batch.frames)
        kept = islice(frames, LONGEST_VIDEO_PROMPT) if first else deque(frames, LONGEST_VIDEO_PROMPT)
        video = np.stack(list(kept))
    small = FrameStream(path, passage.services.worker, max_short_side=360, sample_fps=8.0)
    carried = _known_mark(passage, small, look_for_public_marks(path, passage.services.worker))
    return video, _ingredient(passage, path, title, carried)


def _read_mask(passage: Passage, file: Path, video: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where a picture is light. It says where to draw and is shown to nobody."""
    with passage.runner.here("read_mask"):
        picture = read_image(passage.keep(file, "mask"), passage.services.worker)
    mask: NDArray[np.bool_] = picture.mean(-1) >= 128
    height, width = video.shape[1:3]
    if abs(mask.shape[1] / mask.shape[0] - width / height) > 0.02 * width / height:
        raise UsageError("The mask must have the shape of the film; make it as wide and high.")
    if not mask.any():
        raise UsageError("The mask is dark everywhere; paint light what should be made anew.")
    return mask


def _kept(passage: Passage, file: Path, title: str) -> Path:
    return passage.keep(file, title.replace(" ", "-"))


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
