"""The way of one generation.

Intent into the log; checks on the words; a decision; checks on pictures given as prompt; the
generation, with an early look; checks on the frames; a decision over all of it; then mark, encode,
sign, read back, record and publish (:mod:`guarded_sora.finish`).
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import orjson

from guarded_sora.audit.errors import AuditError
from guarded_sora.checks import check_frames, check_prompt
from guarded_sora.errors import (
    Blocked,
    GuardedSoraError,
    MediaError,
    ReviewRequired,
    StageFailed,
    StoreError,
    UsageError,
)
from guarded_sora.filming import film
from guarded_sora.finish import Material, finish, hold, release
from guarded_sora.generation.contract import Clip, GenerationRequest, VideoBackend
from guarded_sora.generation.expansion import load_expander
from guarded_sora.inputs import Inputs, read_inputs
from guarded_sora.media import ClipFrames
from guarded_sora.passage import Passage
from guarded_sora.policies.finding import Action, CheckState, Decision, RequestContext
from guarded_sora.policies.rewrite import Rewrite
from guarded_sora.progress import Progress, Silent
from guarded_sora.prompts import LARGEST_COUNT, PromptRequest
from guarded_sora.provenance.credentials.manifest import Generator
from guarded_sora.records import context_document
from guarded_sora.release import Release
from guarded_sora.services import Services
from guarded_sora.statement import TimeState


def generate(
    services: Services,
    request: PromptRequest,
    context: RequestContext,
    *,
    output: Path | None = None,
    count: int = 1,
    progress: Progress | None = None,
    intent_id: str | None = None,
) -> tuple[Release, ...]:
    """Make ``count`` films of one request, under one decision on its words.

    Args:
        output: where the film goes; with several, ``-1``, ``-2`` ... are added to its name. None
            means ``home/clips``.
        intent_id: the id of the intent's event, a UUID; drawn here when None.

    Raises:
        Blocked, ReviewRequired: the policy's answers; what was released before stays released.
        UsageError, MediaError: input that cannot be used.
        StageFailed and the other errors of :mod:`guarded_sora.errors`: nothing was released.
    """
    if not 1 <= count <= LARGEST_COUNT:
        raise UsageError(f"The number of films must be 1 to {LARGEST_COUNT}.")
    targets = _targets(output, count)
    for target in targets:
        check_writable(target)
    seed = secrets.randbits(31) if request.seed is None else request.seed
    seeds = [seed + index for index in range(count)]
    approved = _approve(services, request, context, progress or Silent(), seeds, intent_id=intent_id)
    releases: list[Release] = []
    try:
        for target, number in zip(targets, seeds, strict=True):
            # The first film continues the passage that asked; the others start from its decision.
            passage = approved.passage if not releases else approved.again(services, progress or Silent())
            releases.append(_make(passage, approved, number, target))
    finally:
        approved.passage.close()  # its folder holds the pictures that all of them start from
    return tuple(releases)


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """A request whose words (and pictures) may be filmed; ``text`` is what the generator gets."""

    passage: Passage
    request: PromptRequest
    text: str = field(repr=False)
    inputs: Inputs
    rewrite: Rewrite | None = None
    expanded: bool = False
    granted: Decision | None = None

    def again(self, services: Services, progress: Progress) -> Passage:
        """A passage for a further film of the same request, under the same intent and decision."""
        passage = Passage(services, self.passage.context, progress)
        passage.intent_id = self.passage.intent_id
        passage.note(self.passage.findings, self.passage.checks)
        return passage


def resume(
    services: Services,
    request: PromptRequest,
    context: RequestContext,
    *,
    output: Path | None,
    progress: Progress,
    intent_id: str | None = None,
) -> Release:
    """Make the film of a request that a reviewer allowed; the words are checked and recorded again.

    A reviewer's yes answers ``review``; it does not answer ``block``.
    """
    target = _targets(output, 1)[0]
    check_writable(target)
    seed = secrets.randbits(31) if request.seed is None else request.seed
    approved = _approve(services, request, context, progress, [seed], reviewed=True, intent_id=intent_id)
    try:
        return _make(approved.passage, approved, seed, target)
    finally:
        approved.passage.close()


def _approve(
    services: Services,
    request: PromptRequest,
    context: RequestContext,
    progress: Progress,
    seeds: Sequence[int],
    *,
    reviewed: bool = False,
    intent_id: str | None = None,
) -> Approved:
    """Intent, prompt checks, decision; input pictures are checked and decided together with the words."""
    passage = Passage(services, context, progress, intent_id=intent_id)
    try:
        text = request.words
        passage.begin("request", {**request.for_log(), "seeds": list(seeds), "reviewed": reviewed}, text)
        passage.count_history()
        check_prompt(passage, text)
        decision = passage.decide()
        rewrite = None
        if decision.action is Action.REWRITE:
            rewrite, decision = _rewrite(passage, text, decision)
            text = rewrite.text if rewrite else text
        if decision.action is not Action.BLOCK:
            inputs = read_inputs(passage, request)
            decision = passage.decide() if inputs else decision
        else:
            inputs = Inputs()
        expanded = None
        if request.expand and decision.action is Action.ALLOW:
            expanded, decision = _expand(passage, text, decision, request.expand, seeds[0])
        passage.refuse(decision)
        _hold_words(passage, decision, request, reviewed=reviewed)
        passage.write("request.decided", passage.outcome(decision))
    except BaseException as error:
        abandon(passage, error)
        if isinstance(error, MediaError):
            raise passage.named(error) from None
        raise
    return Approved(
        passage=passage,
        request=request,
        text=expanded or text,
        inputs=inputs,
        rewrite=rewrite,
        expanded=expanded is not None,
        granted=decision if reviewed else None,
    )


def _make(passage: Passage, approved: Approved, seed: int, target: Path | None) -> Release:
    """Generate, look, decide, finish, release."""
    try:
        backend: VideoBackend = passage.stage(
            "load_generator", passage.services.backend, deadline=passage.services.settings.deadlines.load
        )
        clip = film(passage, backend, _generation_request(approved, seed))
        frames = ClipFrames(clip.frames, clip.fps)
        check_frames(passage, frames, stage="frame_checks")
        decision = passage.decide()
        material = Material(
            kind="generated",
            frames=frames,
            fps=clip.fps,
            generator=_generator(clip),
            prompt_commitment=passage.services.keys.commit(approved.request.words),
            ingredients=approved.inputs.ingredients,
            audio_from=clip.audio,
            profile=approved.request.profile,
            seed=seed,
            in_domain=clip.in_domain,
            warnings=clip.warnings,
            rewrite=approved.rewrite,
            expanded=approved.text if approved.expanded else None,
        )
        return conclude(passage, material, decision, target, granted=approved.granted)
    except BaseException as error:
        abandon(passage, error)
        if isinstance(error, MediaError):
            raise passage.named(error) from None
        raise
    finally:
        if passage is not approved.passage:
            passage.close()


def conclude(
    passage: Passage, material: Material, decision: Decision, target: Path | None, *, granted: Decision | None
) -> Release:
    """Act on the decision over words and frames: refuse, hold the finished film, or release it.

    ``granted``: the decision on the words that a reviewer has said yes to; what the frames add is
    still held.
    """
    passage.refuse(decision)
    held = decision.action is Action.REVIEW and not (granted is not None and _adds_nothing(granted, decision))
    finished = finish(passage, material, decision)
    untimed = (
        finished.time is TimeState.UNAVAILABLE and passage.services.settings.timestamp.when_down == "hold"
    )
    if held or untimed:
        case_id = _open_case(
            passage,
            decision,
            kind="film",
            subject=str(finished.clip_id),
            payload=orjson.dumps(
                {"kind": material.kind, "sha256": finished.sha256, "time": finished.time.value}
            ),
            reason="timestamp_unavailable" if untimed else "",
        )
        raise hold(passage, material, decision, finished, case_id)
    return release(passage, material, decision, finished, target)


def _adds_nothing(granted: Decision, decision: Decision) -> bool:
    """Whether a decision rests on nothing but what the reviewer has said yes to.

    A finding, a failed check or a rule that the frames brought is new, whatever it says of itself.
    """
    failed = {check.name for check in granted.checks if check.state is CheckState.FAILED}
    return (
        set(decision.findings) <= set(granted.findings)
        and {rule.id for rule in decision.decisive} <= {rule.id for rule in granted.decisive}
        and all(check.name in failed for check in decision.checks if check.state is CheckState.FAILED)
    )


def _hold_words(passage: Passage, decision: Decision, request: PromptRequest, *, reviewed: bool) -> None:
    """On review nothing is generated: the request waits, encrypted, in a case."""
    if decision.action is Action.REVIEW and not reviewed:
        case_id = _open_case(
            passage,
            decision,
            kind="prompt",
            subject=passage.intent_id,
            payload=_pack_request(request, passage.context),
        )
        seq = passage.write("request.held", passage.outcome(decision, case_id=case_id))
        raise ReviewRequired(case_id, decision, audit_seq=seq)


def _rewrite(passage: Passage, text: str, decision: Decision) -> tuple[Rewrite | None, Decision]:
    """Put the wording the pack offers in place of the prompt, and check it like a new one, once."""
    offered = passage.services.rewrite(text, decision)
    if offered is None:
        return None, replace(decision, action=Action.BLOCK)
    passage.findings, passage.checks = (), ()
    check_prompt(passage, offered.text)
    again = passage.decide()
    if again.action is Action.REWRITE:
        again = replace(again, action=Action.BLOCK)
    return offered, again


def _expand(
    passage: Passage, text: str, decision: Decision, spec: str, seed: int
) -> tuple[str | None, Decision]:
    """Say in full what the prompt leaves open, checked like a prompt, together with all before it.

    What the user asked for was allowed; an expansion that would not be is left out, not held against
    the user.
    """
    deadlines = passage.services.settings.deadlines
    expander = passage.stage("load_expander", load_expander, spec, deadline=deadlines.load)
    full = passage.stage("expand_prompt", expander.expand, text, seed=seed, deadline=deadlines.load)
    if full == text:
        return None, decision
    before = passage.findings, passage.checks
    check_prompt(passage, full)
    again = passage.decide()
    used = again.action is Action.ALLOW
    passage.write("request.expanded", {"expander": expander.name, "used": used})
    if used:
        return full, again
    passage.findings, passage.checks = before
    return None, decision


def _generation_request(approved: Approved, seed: int) -> GenerationRequest:
    request = approved.request
    width, height = request.size or (None, None)
    return GenerationRequest(
        prompt=approved.text,
        seconds=request.seconds,
        width=width,
        height=height,
        seed=seed,
        image=approved.inputs.image,
        video=approved.inputs.video,
        until=approved.inputs.until,
        loop=request.loop,
        mask=approved.inputs.mask,
    )


def _generator(clip: Clip) -> Generator:
    info = clip.info
    return Generator(
        name=info.name,
        version=info.version,
        licence=info.licence,
        weights_sha256=info.weights_sha256,
        data_digest=info.data_digest,
        settings=dict(clip.settings),
    )


def abandon(passage: Passage, error: BaseException) -> None:
    """Nothing comes of this request any more: no token, a record, no files left."""
    passage.token.revoke(type(error).__name__)
    # A refusal or a case is an answer, recorded where it was given.
    if not isinstance(error, Blocked | ReviewRequired):
        ours = error if isinstance(error, GuardedSoraError) else StageFailed("guard", type(error).__name__)
        passage.fail(ours)
    passage.close()


def _open_case(
    passage: Passage, decision: Decision, *, kind: str, subject: str, payload: bytes, reason: str = ""
) -> str:
    """Open a case whose payload, notes and appeals are the actor's own data and go when it is erased.

    ``reason``: why it waits, where that is not the decision.
    """
    summary = _summary(decision) | ({"reason": reason} if reason else {})
    try:
        return passage.services.cases.open(
            kind=kind, subject=subject, summary=summary, payload=payload, owner=passage.actor
        )
    except AuditError as error:
        raise StoreError(f"No case could be opened, so nothing was released: {error}") from error


def _summary(decision: Decision) -> dict[str, object]:
    return {
        "action": decision.action.value,
        "rules": [rule.id for rule in decision.rules],
        "pack_digest": decision.pack.digest,
    }


def _targets(output: Path | None, count: int) -> list[Path | None]:
    if output is None or count == 1:
        return [output] * count
    return [output.with_name(f"{output.stem}-{number}{output.suffix}") for number in range(1, count + 1)]


def _pack_request(request: PromptRequest, context: RequestContext) -> bytes:
    return orjson.dumps({"request": orjson.Fragment(request.pack()), "context": context_document(context)})


def check_writable(target: Path | None) -> None:
    """Refuse at the door what could not be written at the end.

    Raises:
        MediaError: the folder is missing or not writable, or the name is a folder's.
    """
    if target is None:
        return
    if target.suffix.lower() != ".mp4":
        raise UsageError(f"{target.name} must end in .mp4: that is the container we sign.")
    if target.is_dir():
        raise MediaError(f"{target} is a folder; give the name of a file.")
    parent = target.parent
    if not parent.is_dir():
        raise MediaError(f"The folder {parent} does not exist; make it first.")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise MediaError(f"The folder {parent} cannot be written; choose another place.")
