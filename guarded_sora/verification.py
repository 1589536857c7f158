"""The way of one incoming clip: bounded parse, credentials, mark, store, verdict, log.

Every leg that could not be checked is evidence of its own (state ``failed`` or ``unavailable``)
and never counts as "nothing found".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from guarded_sora.audit.entry import Event, uuid7
from guarded_sora.audit.errors import AuditError
from guarded_sora.errors import MediaError, StageFailed, StoreError, UsageError
from guarded_sora.evidence import AuditReference, Evidence, Segment, Verdict
from guarded_sora.finish import READ, look_at
from guarded_sora.identify import Identity, identify
from guarded_sora.lost_credentials import credentials_detail, recover_lost
from guarded_sora.marks import look_for_public_marks, mark_detail, read_public_marks, revoked_by
from guarded_sora.media import FrameStream, sha256_file
from guarded_sora.progress import Progress, Silent
from guarded_sora.provenance.clip_id import ClipId
from guarded_sora.provenance.credentials.metadata import Declared
from guarded_sora.provenance.credentials.states import Credentials
from guarded_sora.provenance.watermark.contract import MarkEvidence, MarkState
from guarded_sora.rules import examine_laws, examine_rubric, known_laws
from guarded_sora.services import Services
from guarded_sora.signs import read_signs
from guarded_sora.stages import StageRunner
from guarded_sora.store import ClipRecord, ClipState
from guarded_sora.store.stay_downs import STAY_DOWN
from guarded_sora.synthetic import OPEN, look_for_traces
from guarded_sora.verdicts import ContentSign, Row, Signs, VerdictName, judge

Depth = Literal["credentials", "provenance", "full"]

DECLARED = "guarded_sora.provenance.credentials.metadata:read_declared"


def verify(
    services: Services,
    path: Path,
    *,
    depth: Depth = "full",
    laws: tuple[str, ...] = (),
    rubric: bool = False,
    progress: Progress | None = None,
) -> Verdict:
    """Say of ``path`` what can be said.

    Args:
        depth: ``credentials`` reads no pixels; ``provenance`` adds mark and fingerprint; ``full``
            adds the detector where provenance does not settle it.
        laws: whose clauses to check; see :mod:`guarded_sora.provenance.conformance`.
        rubric: also check the newest manifest against the conformance programme's rubric.

    Raises:
        UsageError: no such file, not a file, or a law that is not known.
        StoreError: the log or the store refused.
    """
    laws = known_laws(laws)
    return _Examination(services, path, depth, progress or Silent()).run(laws, rubric=rubric)


class _Examination:
    """One file under examination; each leg adds evidence and a sign."""

    def __init__(self, services: Services, path: Path, depth: Depth, progress: Progress) -> None:
        self.services = services
        self.path = path
        self.depth = depth
        self.progress = progress
        self.runner = StageRunner(worker=services.worker)
        self.evidence: list[Evidence] = []
        self.notices: list[str] = []
        self.failed = False
        self.settings = services.settings

    def run(self, laws: tuple[str, ...], *, rubric: bool) -> Verdict:
        if not self.path.is_file():
            raise UsageError(f"{self.path} is not a file; check the path.")
        sha256 = self._sha256()
        exact = self.services.store.by_sha256(sha256)
        released = next((record for record in exact if record.state is ClipState.RELEASED), None)
        if exact:
            self._add("audit", "released" if released else exact[0].state.value, {"file_sha256": sha256})
        credentials = self._credentials()
        declared = self._declared()
        stream, readable = self._open()
        mark = self._mark(stream) if stream is not None else None
        identity = self._identify(stream, mark, credentials)
        self.evidence += recover_lost(self.services, self.runner, self.path, credentials, mark, identity)
        given = self._given(sha256)
        if given and (identity.record is None or identity.record not in given):
            identity = replace(identity, record=given[-1])
        self._registry(identity, exact, credentials)
        self._stay_down(identity, sha256)
        signs = read_signs(
            readable,
            credentials,
            declared,
            mark,
            identity,
            exact_file=released is not None,
            source_film=bool(given),
            failed=self.failed,
            public_mark=readable and self._public_marks(mark),
        )
        signs = self._synthetic(signs, stream)
        row = judge(signs)
        ours = bool(exact) or identity.record is not None or (credentials is not None and credentials.ours)
        rules, broken = self._rules(laws, rubric, stream, credentials, declared, mark, ours=ours)
        return self._conclude(row, sha256, identity, rules, broken, included=released is not None)

    # -- legs

    def _sha256(self) -> str:
        self.progress.stage("hash")
        try:
            return sha256_file(self.path)
        except OSError as error:
            raise UsageError(f"{self.path} cannot be read ({error.strerror}); check its rights.") from error

    def _credentials(self) -> Credentials | None:
        self.progress.stage("credentials")
        outcome = self.runner.run_check_in_worker(
            "credentials",
            READ,
            self.path,
            self.services.trust,
            version="1",
            deadline=self.settings.deadlines.parse,
        )
        found: Credentials | None = outcome.value
        if found is None:
            self._fault("credentials", outcome.run.reason)
            return None
        self._add("credentials", found.state.value, credentials_detail(found))
        return found

    def _declared(self) -> Declared | None:
        self.progress.stage("metadata")
        outcome = self.runner.run_check_in_worker(
            "metadata", DECLARED, self.path, version="1", deadline=self.settings.deadlines.parse
        )
        found: Declared | None = outcome.value
        if found is None:
            self._fault("metadata", outcome.run.reason)
            return None
        self._add(
            "metadata",
            "synthetic" if found.says_ai else "nothing",
            {
                "source_type": found.source_type or None,
                "aigc_labels": found.aigc_count,
                "where": list(found.where),
            },
        )
        return found

    def _open(self) -> tuple[FrameStream | None, bool]:
        """The film for the pixel legs, and whether it can be read at all."""
        self.progress.stage("open")
        stream = look_at(self.path, self.services.worker, self.services.limits)
        try:
            info = stream.info
            first = next(iter(stream), None)
        except MediaError as error:
            self._add("media", "unreadable", {"reason": str(error)})
            return None, False
        except StageFailed as error:
            # The parser died on it or ran out of time: it cannot be read within our bounds.
            self._add("media", "unreadable", {"reason": error.reason})
            return None, False
        if first is None:
            self._add("media", "unreadable", {"reason": "the film holds no frame"})
            return None, False
        self._add(
            "media",
            "readable",
            {
                "width": info.width,
                "height": info.height,
                "fps": round(info.fps, 3),
                "seconds": round(info.duration, 3),
                "codec": info.codec,
                "audio": info.has_audio,
            },
        )
        return (None if self.depth == "credentials" else stream), True

    def _mark(self, stream: FrameStream) -> MarkEvidence | None:
        self.progress.stage("watermark")
        outcome = self.runner.run_check(
            "watermark",
            self.services.mark.detect,
            stream,
            version=self.services.mark.version,
            deadline=self.settings.deadlines.mark,
        )
        found = outcome.value
        if found is None:
            self._fault("watermark", outcome.run.reason)
            return None
        revoked = revoked_by(found, self.services.mark_keys)
        if revoked is not None:
            self.notices.append("mark_key_revoked")
        self._add("watermark", found.state.value, mark_detail(found, revoked))
        return found

    def _public_marks(self, mark: MarkEvidence | None) -> bool:
        """Whether a mark that everybody can read says "synthetic"; not asked where ours was found."""
        if self.depth == "credentials" or (mark is not None and mark.state is MarkState.PRESENT):
            return False
        self.progress.stage("public_watermarks")
        evidence, synthetic = read_public_marks(
            self.services, self.runner, look_for_public_marks(self.path, self.services.worker)
        )
        self.evidence += evidence
        return synthetic

    def _identify(
        self, stream: FrameStream | None, mark: MarkEvidence | None, credentials: Credentials | None
    ) -> Identity:
        """Compare the picture with the clips that mark, credentials or likeness lead to."""
        if stream is None:
            return Identity()
        self.progress.stage("fingerprint")
        outcome = self.runner.run_check(
            "fingerprint",
            identify,
            self.services.store,
            stream,
            size=(stream.info.width, stream.info.height),
            mark=mark,
            claimed=credentials.claims.clip_id if credentials and credentials.ours else "",
            version="1",
            deadline=self.settings.deadlines.mark,
        )
        if outcome.value is None:
            self._fault("fingerprint", outcome.run.reason)
            return Identity()
        identity = outcome.value
        if identity.record is not None and identity.record.state is ClipState.WITHDRAWN:
            self.notices.append("withdrawn")
        if identity.marked is not None and identity.content is ContentSign.NONE:
            # Cropped or turned: the mark holds, but the picture cannot be laid over ours.
            self.notices.append("content_not_confirmed")
        self._add("fingerprint", identity.content.value, identity.detail())
        return identity

    def _given(self, sha256: str) -> tuple[ClipRecord, ...]:
        """The clips that were made when exactly this file was given to protect."""
        made = self.services.store.by_source(sha256)
        if made:
            self._add("audit", "given_to_protect", {"clips": [str(item.clip_id) for item in made]})
            self.notices.append("given_to_protect")
        return made

    def _registry(
        self, identity: Identity, exact: Sequence[ClipRecord], credentials: Credentials | None
    ) -> None:
        """What has to be said of the clips that this file is, or is made of: a consent that was withdrawn."""
        clips = {record.clip_id for record in exact}
        clips |= {part.clip_id for part in identity.segments if part.clip_id is not None}
        if identity.record is not None:
            clips.add(identity.record.clip_id)
        if credentials is not None and credentials.ours and credentials.claims.clip_id:
            clips.add(ClipId.parse(credentials.claims.clip_id))
        for clip_id in sorted(clips, key=str):
            for code in self.services.grants.notices(clip_id):
                self._add("registry", code, {"clip_id": str(clip_id)})
                if code not in self.notices:
                    self.notices.append(code)

    def _stay_down(self, identity: Identity, sha256: str) -> None:
        """A film that is no clip of ours may have been taken down as well: by its bytes or its looks."""
        known, deadline = self.services.stay_downs.known, self.settings.deadlines.check
        outcome = self.runner.run_check(
            STAY_DOWN, known, sha256, identity.hashes, version="1", deadline=deadline
        )
        if outcome.run.reason:  # it could not be looked up
            self._fault("registry", outcome.run.reason)
        elif outcome.value is not None and STAY_DOWN not in self.notices:
            self._add("registry", STAY_DOWN, {"by": outcome.value.by})
            self.notices.append(STAY_DOWN)

    def _synthetic(self, signs: Signs, stream: FrameStream | None) -> Signs:
        """What the pixels tell of synthesis, asked only where nothing conclusive was found."""
        if self.depth != "full" or stream is None:
            return signs
        if judge(signs).verdict not in OPEN:
            self._add("detector", "not_needed", {"reason": "what is known of its origin settles it"})
            return signs
        self.progress.stage("detector")
        evidence, sign = look_for_traces(self.services, self.runner, stream)
        self.evidence.append(evidence)
        return replace(signs, detector=sign, failed=signs.failed or evidence.state == "failed")

    def _rules(
        self,
        laws: tuple[str, ...],
        rubric: bool,
        stream: FrameStream | None,
        credentials: Credentials | None,
        declared: Declared | None,
        mark: MarkEvidence | None,
        *,
        ours: bool,
    ) -> tuple[dict[str, Any], bool]:
        """The clauses asked for, and whether one of them failed."""
        rules: dict[str, Any] = {}
        broken = False
        if laws:
            self.progress.stage("laws")
            rules, broken = examine_laws(
                self.services,
                self.runner,
                laws,
                stream=stream,
                credentials=credentials,
                declared=declared,
                mark=mark,
                ours=ours,
            )
        if rubric:
            self.progress.stage("rubric")
            rules["rubric"] = examine_rubric(self.services, self.runner, self.path)
            broken = broken or any(item["state"] == "fail" for item in rules["rubric"].values())
        return rules, broken

    # -- conclusion

    def _conclude(
        self,
        row: Row,
        sha256: str,
        identity: Identity,
        rules: dict[str, Any],
        broken: bool,
        *,
        included: bool,
    ) -> Verdict:
        clip_id = identity.record.clip_id if identity.record else None
        if row.verdict not in (
            VerdictName.OURS_INTACT,
            VerdictName.OURS_ALTERED,
            VerdictName.TAMPERED,
            VerdictName.INCONCLUSIVE,
        ):
            clip_id = None
        notices = (*row.notices, *self.notices)
        event = Event(
            kind="clip.verified",
            actor="verifier",
            subject=str(clip_id) if clip_id else sha256,
            id=uuid7(),
            body={
                "file_sha256": sha256,
                "verdict": row.verdict.value,
                "reason": row.reason,
                "clip_id": str(clip_id) if clip_id else None,
                "notices": list(notices),
                "evidence": [{"kind": item.kind, "state": item.state} for item in self.evidence],
            },
        )
        try:
            seq = self.services.log.append([event])[0].seq
        except AuditError as error:
            raise StoreError(f"The verdict could not be logged: {error}") from error
        segments = tuple(
            Segment(start=part.start, end=part.end, clip_id=part.clip_id, state=part.state)
            for part in identity.segments
        )
        return Verdict(
            file=self.path,
            sha256=sha256,
            verdict=row.verdict,
            reason=row.reason,
            clip_id=clip_id,
            notices=notices,
            evidence=tuple(self.evidence),
            segments=segments,
            rules=rules,
            clause_failed=broken,
            audit=AuditReference(seq=seq, included=included),
        )

    def _add(self, kind: str, state: str, detail: dict[str, Any]) -> None:
        self.evidence.append(Evidence(kind=kind, state=state, detail=detail))

    def _fault(self, kind: str, reason: str) -> None:
        self.failed = True
        self._add(kind, "failed", {"reason": reason})


__all__ = ["AuditReference", "Depth", "Evidence", "Segment", "Verdict", "verify"]
