"""What the manifest of a finished film says, and what vouches for its time."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from PIL import Image

from guarded_sora import version
from guarded_sora.consent import ConsentProof
from guarded_sora.media import FrameStream
from guarded_sora.passage import Passage
from guarded_sora.policies.finding import CheckRun, CheckState, Decision
from guarded_sora.provenance.clip_id import ClipId
from guarded_sora.provenance.credentials.manifest import Check, ManifestContent, Policy, SoftBinding
from guarded_sora.provenance.credentials.read import Credentials
from guarded_sora.provenance.credentials.resolution import binding_value
from guarded_sora.provenance.credentials.sign import Signed
from guarded_sora.records import checks_digest

if TYPE_CHECKING:
    from guarded_sora.finish import Material

_THUMBNAIL_SIDE = 256


class TimeState(StrEnum):
    """What vouches for the time of a signature. ``UNLISTED``: a timestamp by nobody on our list for time."""

    NONE = "none"
    TRUSTED = "trusted"
    UNLISTED = "unlisted"
    UNAVAILABLE = "unavailable"


TIME_WARNINGS = {
    TimeState.UNLISTED: (
        "The timestamp is by an authority on no list for time; set GUARDED_SORA_TIMESTAMP_ANCHORS.",
    ),
    TimeState.UNAVAILABLE: ("Signed without a timestamp: the authority gave no answer.",),
}


def manifest_content(
    passage: Passage,
    material: Material,
    decision: Decision,
    clip_id: ClipId,
    *,
    labels: tuple[str, ...],
    consents: Sequence[ConsentProof],
    thumbnail: bytes | None,
) -> ManifestContent:
    """Everything the manifest states; neither prompt, threshold nor likeness result is in it."""
    settings = passage.services.settings
    ran = {(check.name, check.version) for check in passage.runner.checks if check.state is CheckState.RAN}
    return ManifestContent(
        clip_id=str(clip_id),
        title=f"{str(clip_id).replace(':', '-')}.mp4",
        generator=material.generator,
        created=datetime.now(UTC),
        soft_binding=SoftBinding(value=binding_value(clip_id)),
        provider=settings.organisation,
        tool_version=version.__version__,
        source_type=material.source_type,
        edit=material.edit,
        prompt_commitment=material.prompt_commitment,
        policy=Policy(id=decision.pack.id, version=decision.pack.version, digest=decision.pack.digest),
        intent_event_id=passage.intent_id,
        checks=tuple(Check(name=name, version=number) for name, number in sorted(ran)),
        checks_digest=checks_digest(passage.runner.checks),
        consents=tuple((proof.grant_sha256, proof.token_id) for proof in consents),
        ingredients=material.ingredients,
        labels=labels,
        detector_url=settings.operator.detector_url or None,
        thumbnail=thumbnail,
    )


def make_thumbnail(film: FrameStream) -> bytes | None:
    """The opening picture as a JPEG of at most 256 pixels; None when the film has no frame.

    Taken from the finished film, so that it shows the labels that the film shows.
    """
    first = next(iter(film), None)
    if first is None:
        return None
    picture = Image.fromarray(first.frames[0])
    picture.thumbnail((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=80)
    return buffer.getvalue()


def time_state(passage: Passage, signed: Signed, read: Credentials) -> TimeState:
    """What vouches for the time of ``signed``, as read back; noted as a check where a time was asked for."""
    if passage.services.signer.timestamp_url is None:
        return TimeState.NONE
    state = TimeState.UNAVAILABLE
    if signed.timestamped:
        state = TimeState.TRUSTED if read.timestamp else TimeState.UNLISTED
    there = state is not TimeState.UNAVAILABLE
    passage.runner.record(
        CheckRun(
            name="timestamp",
            version="1",
            state=CheckState.RAN if there else CheckState.FAILED,
            result=state.value if there else "",
            reason="" if there else "the authority gave no answer",
        )
    )
    return state
