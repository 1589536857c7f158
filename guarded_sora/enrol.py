"""Enrol people, characters, brands and works: from files to what the registry keeps, with a record.

Pictures and films are read in the killable worker, and only templates or hashes are kept of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from guarded_sora.consent import log_change
from guarded_sora.detectors.errors import DetectorError
from guarded_sora.detectors.faces import DlibFaces, FaceModel, turned
from guarded_sora.detectors.fingerprint import MIN_QUALITY, SecondHash, fingerprint
from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.detectors.keyframes import Stills, describe, telling_stills
from guarded_sora.detectors.templates import protect_template
from guarded_sora.errors import MediaError, UsageError
from guarded_sora.media import FrameStream, read_image
from guarded_sora.provenance.clip_id import ClipId
from guarded_sora.services import Services
from guarded_sora.store import Kind, Standing, SubjectName

_HASH_SIDE = 480
_MOST_STILLS = 600  # pictures of a reference that are considered; of longer films evenly spread ones
_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif")


def add_subject(
    services: Services,
    kind: Kind,
    names: Sequence[SubjectName],
    *,
    standing: Standing = Standing.NONE,
    jurisdiction: str = "",
    terms: str = "",
) -> str:
    """Enrol a subject, log it, and return its id. Raises UsageError for names that cannot be kept."""
    subject_id = services.registry.add(kind, names, standing=standing, jurisdiction=jurisdiction, terms=terms)
    log_change(services, "registry.added", subject_id, {"kind": kind.value, "names": len(names)})
    return subject_id


def add_face_pictures(
    services: Services, subject_id: str, pictures: Sequence[Path], *, model: FaceModel | None = None
) -> int:
    """Enrol the one face of each picture; nothing is kept unless every picture has exactly one.

    Raises:
        UsageError: no face model, no face or several in a picture, or no such person.
        MediaError: not a picture we can read.
    """
    used = model or DlibFaces()
    if used.unavailable:
        raise UsageError(f"No face can be enrolled: {used.unavailable}.")
    key = services.registry.template_key()
    templates = []
    for path in pictures:
        try:
            faces = turned(used, read_image(path, services.worker))
        except DetectorError as error:
            raise UsageError(str(error)) from error
        if len(faces) != 1:
            seen = "no face was found" if not faces else f"{len(faces)} faces were found"
            raise UsageError(
                f"In {path.name} {seen}; use a picture that shows this one person from the front."
            )
        templates.append(protect_template(faces[0].embedding, key))
    services.registry.add_faces(subject_id, used.name, templates)
    log_change(services, "registry.faces", subject_id, {"faces": len(templates), "model": used.name})
    return len(templates)


def add_reference(services: Services, subject_id: str, path: Path) -> int:
    """Register a picture or clip of a work, character or brand; returns the reference's number.

    Raises:
        UsageError: too plain to tell from others, or no such subject.
        MediaError: not a picture or film we can read.
    """
    frames: Iterable[FrameBatch]
    if path.suffix.lower() in _PICTURES:
        image = read_image(path, services.worker)
        kind = "image"
        frames = [FrameBatch(frames=image[None], times=np.zeros(1), fps=1.0)]
    else:
        if not path.is_file():
            raise MediaError(f"{path} is not a file; check the path.")
        kind = "clip"
        frames = FrameStream(path, services.worker, max_short_side=_HASH_SIDE)
    stills = Stills(most=_MOST_STILLS)
    hashes = fingerprint(stills.watching(frames))
    keyframes = [describe(still) for still in telling_stills(stills.taken())]
    reference = services.registry.add_reference(subject_id, kind, _telling(hashes), keyframes)
    log_change(services, "registry.reference", subject_id, {"reference": reference, "seconds": len(hashes)})
    return reference


def add_clip_reference(services: Services, subject_id: str, clip_id: ClipId) -> int:
    """Register one of our own clips, so that it, or what resembles it, stays down.

    Raises:
        UsageError: no such clip, or nothing in it to tell it from others.
    """
    hashes = services.store.fingerprint(clip_id)
    if not hashes:
        raise UsageError(f"The store holds no fingerprint of {clip_id}; give the film itself.")
    reference = services.registry.add_reference(subject_id, "clip", _telling(hashes))
    log_change(services, "registry.reference", subject_id, {"reference": reference, "clip_id": str(clip_id)})
    return reference


def stay_down(services: Services, clip_id: ClipId) -> str:
    """Register a clip that was taken down as a work of its own; returns the subject's id.

    Raises:
        UsageError: as :func:`add_clip_reference`.
    """
    label = f"taken down {clip_id}"
    subject_id = services.registry.named(Kind.WORK, label) or add_subject(
        services, Kind.WORK, [SubjectName(text=label)], terms="taken down"
    )
    add_clip_reference(services, subject_id, clip_id)
    return subject_id


def remove_subject(services: Services, subject_id: str) -> None:
    """Forget a subject and end every consent about it; clips made under one carry the notice.

    Raises:
        UsageError: no such subject.
    """
    grants = services.grants.grants(subject_id)
    services.registry.remove(subject_id)
    marked = 0
    for grant in grants:
        marked += len(services.grants.revoke(grant.grant_id, "subject_removed"))
    log_change(services, "registry.removed", subject_id, {"grants": len(grants), "clips": marked})


def _telling(hashes: Sequence[SecondHash]) -> list[SecondHash]:
    """Seconds that can be told from others: black or plain ones would match everybody's."""
    return [item for item in hashes if item.quality >= MIN_QUALITY]


__all__ = [
    "add_clip_reference",
    "add_face_pictures",
    "add_reference",
    "add_subject",
    "remove_subject",
    "stay_down",
]
