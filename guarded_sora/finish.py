"""The last part of every way through the guard: mark, encode, sign, read back, record, publish.

The order is the safety: nothing has the output path until the mark and the signature were read
back from the very file, and the log holds the outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from guarded_sora.consent import ConsentProof, spend_consents
from guarded_sora.contact_sheet import contact_sheet
from guarded_sora.detectors.fingerprint import SecondHash, fingerprint
from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.errors import ProvenanceError, ReviewRequired
from guarded_sora.layers import Layered, laws_for, plan_for, tags_for
from guarded_sora.media import EncodedInfo, FrameStream, MediaLimits, encode, sha256_file
from guarded_sora.media.plane_encoder import encode_planes
from guarded_sora.media.planes import PlaneStream
from guarded_sora.passage import Passage
from guarded_sora.plane_marking import MarkedPlanes
from guarded_sora.policies.finding import CheckRun, CheckState, Decision
from guarded_sora.policies.rewrite import Rewrite
from guarded_sora.provenance.clip_id import ClipId
from guarded_sora.provenance.credentials.manifest import (
    TRAINED_ALGORITHMIC_MEDIA,
    Generator,
    Ingredient,
)
from guarded_sora.provenance.credentials.read import Credentials, State
from guarded_sora.provenance.credentials.sign import Signed
from guarded_sora.provenance.credentials.sign import sign as sign_file
from guarded_sora.provenance.credentials.signer import may_travel
from guarded_sora.provenance.labels import Kind
from guarded_sora.provenance.payload import MarkPayload
from guarded_sora.provenance.watermark.contract import MarkEvidence, MarkState
from guarded_sora.release import Release, place
from guarded_sora.statement import (
    TIME_WARNINGS,
    TimeState,
    make_thumbnail,
    manifest_content,
    time_state,
)
from guarded_sora.store import ClipState
from guarded_sora.worker import Worker

# Each step down in quality makes the mark about a quarter stronger; 36 dB is where it would show.
QUALITY_STEP_DB = 2.0
LOWEST_QUALITY_DB = 36.0

LOOK_SIDE = 360  # lines: the mark's own canonical size
LOOK_FPS = 8.0

SIGN = "guarded_sora.provenance.credentials.sign:sign"
READ = "guarded_sora.provenance.credentials.read:read"


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """A film that passed every check and waits for its mark.

    ``frames`` is re-iterable: the mark may have to be made again, stronger. ``audio_from`` is a
    file whose audio packets are carried untouched. ``planes``: the film as it was coded; where no label
    is drawn, its bit depth, colours, times and rotation are kept. ``profile``: laws whose labels are
    wanted on top of those the decision obliges to. ``source_sha256``: of the film that is protected.
    """

    kind: str
    frames: Iterable[FrameBatch]
    fps: float
    generator: Generator
    prompt_commitment: str
    source_type: str = TRAINED_ALGORITHMIC_MEDIA
    edit: bool = False
    ingredients: tuple[Ingredient, ...] = ()
    audio_from: Path | None = None
    profile: tuple[str, ...] = ()
    seed: int | None = None
    in_domain: bool | None = None
    warnings: tuple[str, ...] = ()
    planes: PlaneStream | None = None
    rewrite: Rewrite | None = None
    expanded: str | None = None
    source_sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The signed file in the work folder, read back and found whole. ``time``: what vouches for its date."""

    clip_id: ClipId
    path: Path
    sheet: Path
    sha256: str
    signed: Signed
    hashes: tuple[SecondHash, ...]
    seconds: float
    size: tuple[int, int]
    time: TimeState = TimeState.NONE


def finish(passage: Passage, material: Material, decision: Decision) -> Finished:
    """Mark, encode, sign and read back; on return the file is whole and still in the work folder.

    Raises:
        StageFailed, ProvenanceError: nothing may be released.
    """
    services, deadlines = passage.services, passage.services.settings.deadlines
    clip_id: ClipId = passage.stage(
        "reserve_id",
        services.store.reserve,
        kind=material.kind,
        intent_id=passage.intent_id,
        deadline=deadlines.record,
    )
    consents: tuple[ConsentProof, ...] = ()
    if passage.consents.used(passage.findings):
        consents = passage.stage("consent", spend_consents, passage, clip_id, deadline=deadlines.record)
    quality = services.settings.mark_psnr
    while True:
        signed_path, signed = _mark_and_sign(passage, material, decision, clip_id, quality, consents)
        evidence = _read_mark(passage, signed_path, clip_id, quality)
        if _carries(evidence, clip_id):
            break
        # A small, busy picture can swallow the mark; a little quality buys it back.
        quality -= QUALITY_STEP_DB
        if quality < LOWEST_QUALITY_DB:
            raise ProvenanceError(
                "The mark could not be read back from the finished film, so nothing was released; "
                "use a larger or longer film."
            )
    read = _confirm_credentials(passage, signed_path, clip_id, signed)
    stream = look_at(signed_path, services.worker)
    hashes: tuple[SecondHash, ...] = passage.stage(
        "fingerprint", fingerprint, stream, deadline=deadlines.mark
    )
    sheet = passage.file("contact-sheet.png")
    passage.stage(
        "contact_sheet", contact_sheet, stream, sheet, title=str(clip_id), deadline=deadlines.encode
    )
    return Finished(
        clip_id=clip_id,
        path=signed_path,
        sheet=sheet,
        sha256=sha256_file(signed_path),
        signed=signed,
        hashes=hashes,
        seconds=stream.info.duration,
        size=(stream.info.width, stream.info.height),
        time=time_state(passage, signed, read),
    )


def release(
    passage: Passage, material: Material, decision: Decision, finished: Finished, output: Path | None
) -> Release:
    """Record the outcome, and only then move the file to its place."""
    services = passage.services
    record(passage, material, finished, ClipState.RESERVED)
    target = output or services.settings.clips / f"{_file_name(finished.clip_id)}.mp4"
    body = passage.outcome(decision, **outcome_body(finished, material))
    seq: int = passage.stage(
        "audit_outcome", passage.write, "request.released", body, deadline=services.settings.deadlines.record
    )
    services.store.settle(finished.clip_id, state=ClipState.RELEASED, audit_seq=seq)
    sheet = publish(passage, finished, target, seq)
    return Release(
        clip_id=finished.clip_id,
        path=target,
        contact_sheet=sheet,
        sha256=finished.sha256,
        decision=decision,
        checks=passage.runner.checks,
        stages=passage.runner.stages,
        audit_seq=seq,
        seed=material.seed,
        in_domain=material.in_domain,
        warnings=(*material.warnings, *TIME_WARNINGS.get(finished.time, ())),
        rewrite=material.rewrite,
        expanded=material.expanded,
    )


def record(passage: Passage, material: Material, finished: Finished, state: ClipState) -> None:
    """Keep manifest and fingerprint in the store."""
    passage.stage(
        "store",
        passage.services.store.record,
        finished.clip_id,
        state=state,
        file_sha256=finished.sha256,
        manifest_label=finished.signed.label,
        manifest_store=finished.signed.store,
        fingerprint=finished.hashes,
        seconds=finished.seconds,
        size=finished.size,
        source_sha256=material.source_sha256,
        deadline=passage.services.settings.deadlines.record,
    )


def publish(passage: Passage, finished: Finished, target: Path, seq: int) -> Path:
    """Move the file to ``target`` and its contact sheet beside it; say so in the log if that fails."""
    passage.progress.stage("publish")
    sheet = target.with_name(f"{target.stem}.contact-sheet.png")
    try:
        with passage.runner.here("publish"):
            target.parent.mkdir(parents=True, exist_ok=True)
            # The sheet is a convenience and goes first: the film's name must be the last to appear.
            place(finished.sheet, sheet)
            passage.token.publish(finished.path, target)
    except BaseException:
        passage.services.store.settle(finished.clip_id, state=ClipState.WITHDRAWN)
        passage.write("release.undone", {"clip_id": str(finished.clip_id), "released_seq": seq})
        with suppress(OSError):
            sheet.unlink(missing_ok=True)
        raise
    return sheet


def hold(
    passage: Passage, material: Material, decision: Decision, finished: Finished, case_id: str
) -> ReviewRequired:
    """Put the finished file under ``home/held`` and record that it waits; returns the error to raise."""
    services = passage.services
    record(passage, material, finished, ClipState.HELD)
    held = services.settings.held / f"{case_id}.mp4"
    body = passage.outcome(decision, case_id=case_id, **outcome_body(finished, material))
    seq: int = passage.stage(
        "audit_outcome", passage.write, "request.held", body, deadline=services.settings.deadlines.record
    )
    publish(passage, finished, held, seq)
    return ReviewRequired(case_id, decision, audit_seq=seq)


def outcome_body(finished: Finished, material: Material) -> dict[str, object]:
    """What ties the outcome to the file, for the log."""
    return {
        "clip_id": str(finished.clip_id),
        "file_sha256": finished.sha256,
        "manifest_label": finished.signed.label,
        "kind": material.kind,
        "seed": material.seed,
        "in_domain": material.in_domain,
        "time": finished.time.value,
        "backend": {
            "name": material.generator.name,
            "version": material.generator.version,
            "weights_sha256": material.generator.weights_sha256,
        },
    }


def _mark_and_sign(
    passage: Passage,
    material: Material,
    decision: Decision,
    clip_id: ClipId,
    quality: float,
    consents: tuple[ConsentProof, ...],
) -> tuple[Path, Signed]:
    services, deadlines = passage.services, passage.services.settings.deadlines
    mark = services.mark_at(quality, passage.context.tenant)
    payload = MarkPayload(id=clip_id.id, epoch=mark.key.epoch)
    kind: Kind = "generated" if material.source_type == TRAINED_ALGORITHMIC_MEDIA else "modified"
    laws = laws_for(decision, material.profile)
    labels = plan_for(laws, kind)
    layered = Layered(
        frames=material.frames,
        labels=labels,
        embed=lambda frames: mark.embed(frames, payload),
    )
    encoded, signed_path = passage.file("encoded.mp4"), passage.file("signed.mp4")
    write: Callable[..., EncodedInfo] = partial(encode, layered, fps=material.fps)
    if material.planes is not None and not labels.names:
        planes = MarkedPlanes(stream=material.planes, writer=lambda: mark.writer(payload))
        write = partial(encode_planes, planes, material.planes.format)
    passage.stage(
        "mark_and_encode",
        write,
        path=encoded,
        crf=services.settings.encode_crf,
        audio_from=material.audio_from,
        worker=services.worker,
        metadata=tags_for(laws, f"guarded-sora-{clip_id.issuer}", clip_id),
        deadline=deadlines.mark + deadlines.encode,
    )
    signed_path.unlink(missing_ok=True)
    content = manifest_content(
        passage,
        material,
        decision,
        clip_id,
        labels=labels.names,
        consents=consents,
        # What somebody consented to be shown is shown by the film alone: a consent can be withdrawn, and a
        # picture in a signed manifest, which the store and repositories keep, could not be taken back.
        thumbnail=None
        if consents
        else passage.stage(
            "thumbnail", make_thumbnail, look_at(encoded, services.worker), deadline=deadlines.encode
        ),
    )
    passage.progress.stage("sign")
    # Ingredients are strangers' files, so the library meets them in the killable worker where it can.
    run: Callable[..., Signed] = (
        partial(passage.runner.run_in_worker, "sign", SIGN)
        if may_travel(services.signer)
        else partial(passage.runner.run, "sign", sign_file)
    )
    signed = run(
        encoded,
        signed_path,
        content,
        services.signer,
        trust=services.trust,
        timestamp=services.timestamp,
        deadline=deadlines.sign,
    )
    encoded.unlink(missing_ok=True)
    return signed_path, signed


def _read_mark(passage: Passage, path: Path, clip_id: ClipId, quality: float) -> MarkEvidence:
    services = passage.services
    stream = FrameStream(path, services.worker, max_short_side=360)
    evidence: MarkEvidence = passage.stage(
        "read_mark", services.mark.detect, stream, deadline=services.settings.deadlines.mark
    )
    found = "its own id" if _carries(evidence, clip_id) else evidence.state.value
    passage.runner.record(
        CheckRun(
            name="mark.read_back",
            version=evidence.mark_version,
            state=CheckState.RAN,
            result=f"{found}, log10 p {evidence.log10_p:.1f}, {quality:g} dB",
            score=min(max(float(evidence.rho), 0.0), 1.0),
        )
    )
    return evidence


def look_at(path: Path, worker: Worker, limits: MediaLimits | None = None) -> FrameStream:
    """A film as fingerprints see it; one way for all, or the same film would not match itself."""
    return FrameStream(
        path, worker, max_short_side=LOOK_SIDE, sample_fps=LOOK_FPS, limits=limits, strict=False
    )


def _carries(evidence: MarkEvidence, clip_id: ClipId) -> bool:
    return (
        evidence.state is MarkState.PRESENT
        and evidence.payload is not None
        and evidence.payload.id == clip_id.id
    )


def _confirm_credentials(passage: Passage, path: Path, clip_id: ClipId, signed: Signed) -> Credentials:
    services = passage.services
    passage.progress.stage("read_credentials")
    read: Credentials = passage.runner.run_in_worker(
        "read_credentials", READ, path, services.trust, deadline=services.settings.deadlines.parse
    )
    # ``ours`` is about the signer only; that the content is what was signed is the state's word.
    intact = read.state in (State.TRUSTED, State.TRUSTED_WITH_BAD_INGREDIENT)
    whole = intact and read.ours and read.claims.clip_id == str(clip_id) and read.label == signed.label
    passage.runner.record(
        CheckRun(name="credentials.read_back", version="1", state=CheckState.RAN, result=read.state.value)
    )
    if not whole:
        raise ProvenanceError(
            "The credentials read back from the finished film are not the ones that were signed "
            f"(state {read.state.value}), so nothing was released; check the keys with 'guarded-sora doctor'."
        )
    return read


def _file_name(clip_id: ClipId) -> str:
    return str(clip_id).replace(":", "-")
