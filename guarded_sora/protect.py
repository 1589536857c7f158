"""Guard a film that another generator made: the same checks, the same mark, the same record."""

from __future__ import annotations

from pathlib import Path

from guarded_sora.checks import check_frames, check_prompt
from guarded_sora.errors import MediaError, UsageError
from guarded_sora.finish import Material
from guarded_sora.guard import abandon, check_writable, conclude
from guarded_sora.inputs import read_credentials
from guarded_sora.media import FrameStream, sha256_file
from guarded_sora.media.planes import PlaneStream
from guarded_sora.passage import Passage
from guarded_sora.policies.finding import RequestContext
from guarded_sora.progress import Progress, Silent
from guarded_sora.prompts import PromptRequest
from guarded_sora.provenance.credentials.manifest import (
    COMPOSITE_WITH_TRAINED,
    SOURCE_TYPES,
    Generator,
    Ingredient,
)
from guarded_sora.provenance.credentials.states import State
from guarded_sora.provenance.watermark.contract import MarkEvidence, MarkState
from guarded_sora.release import Release
from guarded_sora.services import Services
from guarded_sora.stay_down import refuse_marked

_LOOK_SIDE = 480  # lines at which frame checks see the film


def protect(
    services: Services,
    source: Path,
    prompt: str,
    context: RequestContext,
    *,
    output: Path | None = None,
    source_type: str | None = None,
    profile: tuple[str, ...] = (),
    progress: Progress | None = None,
) -> Release:
    """Check ``prompt`` and every frame of ``source``, then mark, sign and log it.

    A film that is already signed is opened and kept as parent; an unsigned one is declared as
    ``source_type`` (short IPTC name; default composite with trained algorithmic media).

    Raises:
        Blocked, ReviewRequired: the policy's answers.
        MediaError, UsageError: ``source`` or an argument cannot be used.
        StageFailed and the other errors of :mod:`guarded_sora.errors`: nothing was released.
    """
    if source_type is not None and source_type not in SOURCE_TYPES:
        raise UsageError(f"--source-type must be one of: {', '.join(sorted(SOURCE_TYPES))}.")
    check_writable(output)
    request = PromptRequest(prompt=prompt, profile=profile)
    passage = Passage(services, context, progress or Silent())
    try:
        # Checked, marked and signed is this copy: the caller's file may be exchanged meanwhile.
        source = passage.keep(source, "source")
        stream = FrameStream(source, services.worker)
        passage.begin("request", {"protect": True, "source_type": source_type}, request.words)
        passage.count_history()
        check_prompt(passage, request.words)
        # Words that want a reviewer do not stop here: the reviewer sees the film with them.
        passage.refuse(passage.decide())
        ingredients = _parents(passage, source)
        _refuse_marked(passage, source)
        # Every frame: whoever knows which ones are looked at puts the others between them.
        look = FrameStream(source, services.worker, max_short_side=_LOOK_SIDE)
        check_frames(passage, look, stage="frame_checks")
        decision = passage.decide()
        material = Material(
            kind="protected",
            frames=stream,
            fps=stream.info.fps,
            generator=Generator(name="not generated here", version="0", settings={}),
            prompt_commitment=services.keys.commit(request.words),
            source_type=SOURCE_TYPES[source_type] if source_type else COMPOSITE_WITH_TRAINED,
            edit=bool(ingredients),
            ingredients=ingredients,
            audio_from=source if stream.info.has_audio else None,
            profile=profile,
            source_sha256=sha256_file(source),
            planes=_planes(passage, source),
        )
        return conclude(passage, material, decision, output, granted=None)
    except BaseException as error:
        abandon(passage, error)
        if isinstance(error, MediaError):
            raise passage.named(error) from None
        raise
    finally:
        passage.close()


def _planes(passage: Passage, source: Path) -> PlaneStream | None:
    """The film as it is coded, where its planes can be carried; else it goes through sRGB."""
    planes = PlaneStream(source, passage.services.worker)
    try:
        _ = planes.format
    except MediaError:
        return None
    return planes


def _parents(passage: Passage, source: Path) -> tuple[Ingredient, ...]:
    """The source as parent when it is signed; nothing when it carries no credentials."""
    found = read_credentials(passage, source, stage="read_source_credentials")
    if found.state in (State.NO_MANIFEST, State.UNSUPPORTED, State.REMOTE_NOT_FETCHED):
        return ()
    return (Ingredient(path=source, relationship="parentOf", title="source film"),)


def _refuse_marked(passage: Passage, source: Path) -> None:
    """Two marks of one key on one film would blind each other."""
    stream = FrameStream(source, passage.services.worker, max_short_side=360, sample_fps=8.0)
    evidence: MarkEvidence = passage.stage(
        "read_source_mark",
        passage.services.mark.detect,
        stream,
        deadline=passage.services.settings.deadlines.mark,
    )
    if evidence.state is MarkState.PRESENT:
        refuse_marked(passage, evidence)
        raise UsageError(
            "This film already carries a mark of this installation; "
            "'guarded-sora verify' says which clip it belongs to."
        )
