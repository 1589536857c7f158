"""The way of one incoming clip: bounded parse, credentials, mark, store, verdict, log.

Every leg that could not be checked is evidence of its own (state ``failed`` or ``unavailable``)
and never counts as "nothing found".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from guarded_sora.audit.entry import Event, uuid7
from guarded_sora.audit.errors import AuditError
from guarded_sora.errors import StoreError, UsageError
from guarded_sora.evidence import AuditReference, Evidence, Gathered, Segment, Verdict
from guarded_sora.finish import READ
from guarded_sora.identify import Identity
from guarded_sora.looking import Depth, Looking
from guarded_sora.lost_credentials import credentials_detail, recover_lost
from guarded_sora.media import sha256_file
from guarded_sora.progress import Progress, Silent
from guarded_sora.provenance.clip_id import ClipId
from guarded_sora.provenance.credentials.metadata import Declared
from guarded_sora.provenance.credentials.states import Credentials
from guarded_sora.provenance.watermark.contract import MarkEvidence
from guarded_sora.rules import examine_laws, examine_rubric, known_laws
from guarded_sora.services import Services
from guarded_sora.signs import read_signs
from guarded_sora.stages import StageRunner
from guarded_sora.store import ClipRecord, ClipState
from guarded_sora.store.stay_downs import STAY_DOWN
from guarded_sora.synthetic import OPEN, look_for_traces
from guarded_sora.verdicts import Row, Signs, VerdictName, judge
from guarded_sora.viewing import Viewing

DECLARED = "guarded_sora.provenance.credentials.metadata:read_declared"


def verify(
    services: Services,
    path: Path,
    *,
    depth: Depth = "full",
    laws: tuple[str, ...] = (),
    rubric: bool = False,
    every_second: bool = False,
    progress: Progress | None = None,
) -> Verdict:
    """Say of ``path`` what can be said.

    Args:
        depth: ``credentials`` reads no pixels; ``provenance`` adds mark and fingerprint, of all of a film
            that shows anything of ours and of excerpts of others (:data:`~guarded_sora.viewing.EXCERPTS`);
            ``full`` looks at all of every film and adds the detector where provenance does not settle it.
        every_second: look at all of every film at depth ``provenance`` too.
        laws: whose clauses to check; see :mod:`guarded_sora.provenance.conformance`.
        rubric: also check the newest manifest against the conformance programme's rubric.

    Raises:
        UsageError: no such file, not a file, or a law that is not known.
        StoreError: the log or the store refused.
    """
    laws = known_laws(laws)
    return _Examination(services, path, depth, progress or Silent(), whole=every_second).run(
        laws, rubric=rubric
    )


class _Examination:
    """One file under examination; each leg adds evidence and a sign."""

    def __init__(
        self, services: Services, path: Path, depth: Depth, progress: Progress, *, whole: bool
    ) -> None:
        self.services = services
        self.path = path
        self.depth = depth
        self.progress = progress
        self.runner = StageRunner(worker=services.worker)
        self.settings = services.settings
        self.found = Gathered()
        self.looking = Looking(
            services, self.runner, path, depth, whole=whole, found=self.found, progress=progress
        )

    def run(self, laws: tuple[str, ...], *, rubric: bool) -> Verdict:
        if not self.path.is_file():
            raise UsageError(f"{self.path} is not a file; check the path.")
        sha256 = self._sha256()
        exact = self.services.store.by_sha256(sha256)
        released = next((record for record in exact if record.state is ClipState.RELEASED), None)
        if exact:
            self.found.add("audit", "released" if released else exact[0].state.value, {"file_sha256": sha256})
        credentials = self._credentials()
        declared = self._declared()
        known = bool(exact) or (credentials is not None and credentials.ours)
        view, readable = self.looking.open(known=known)
        mark, identity = None, Identity()
        if view is not None:
            view, mark, identity = self.looking.origin(view, credentials)
        self.found.evidence += recover_lost(
            self.services, self.runner, self.path, credentials, mark, identity
        )
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
            failed=self.found.failed,
            public_mark=readable and self.looking.public_marks(mark),
        )
        signs = self._synthetic(signs, view)
        row = judge(signs)
        ours = bool(exact) or identity.record is not None or (credentials is not None and credentials.ours)
        rules, broken = self._rules(laws, rubric, view, credentials, declared, mark, ours=ours)
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
            self.found.fault("credentials", outcome.run.reason)
            return None
        self.found.add("credentials", found.state.value, credentials_detail(found))
        return found

    def _declared(self) -> Declared | None:
        self.progress.stage("metadata")
        outcome = self.runner.run_check_in_worker(
            "metadata", DECLARED, self.path, version="1", deadline=self.settings.deadlines.parse
        )
        found: Declared | None = outcome.value
        if found is None:
            self.found.fault("metadata", outcome.run.reason)
            return None
        self.found.add(
            "metadata",
            "synthetic" if found.says_ai else "nothing",
            {
                "source_type": found.source_type or None,
                "aigc_labels": found.aigc_count,
                "where": list(found.where),
            },
        )
        return found

    def _given(self, sha256: str) -> tuple[ClipRecord, ...]:
        """The clips that were made when exactly this file was given to protect."""
        made = self.services.store.by_source(sha256)
        if made:
            self.found.add("audit", "given_to_protect", {"clips": [str(item.clip_id) for item in made]})
            self.found.notice("given_to_protect")
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
                self.found.add("registry", code, {"clip_id": str(clip_id)})
                self.found.notice(code)

    def _stay_down(self, identity: Identity, sha256: str) -> None:
        """A film that is no clip of ours may have been taken down as well: by its bytes or its looks."""
        known, deadline = self.services.stay_downs.known, self.settings.deadlines.check
        outcome = self.runner.run_check(
            STAY_DOWN, known, sha256, identity.hashes, version="1", deadline=deadline
        )
        if outcome.run.reason:  # it could not be looked up
            self.found.fault("registry", outcome.run.reason)
        elif outcome.value is not None and STAY_DOWN not in self.found.notices:
            self.found.add("registry", STAY_DOWN, {"by": outcome.value.by})
            self.found.notice(STAY_DOWN)

    def _synthetic(self, signs: Signs, view: Viewing | None) -> Signs:
        """What the pixels tell of synthesis, asked only where nothing conclusive was found."""
        if self.depth != "full" or view is None:
            return signs
        if judge(signs).verdict not in OPEN:
            self.found.add("detector", "not_needed", {"reason": "what is known of its origin settles it"})
            return signs
        self.progress.stage("detector")
        evidence, sign = look_for_traces(self.services, self.runner, view.stream, view.cuttings)
        self.found.evidence.append(evidence)
        return replace(signs, detector=sign, failed=signs.failed or evidence.state == "failed")

    def _rules(
        self,
        laws: tuple[str, ...],
        rubric: bool,
        view: Viewing | None,
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
                stream=None if view is None else view.stream,
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
        notices = (*row.notices, *self.found.notices)
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
                "evidence": [{"kind": item.kind, "state": item.state} for item in self.found.evidence],
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
            evidence=tuple(self.found.evidence),
            segments=segments,
            rules=rules,
            clause_failed=broken,
            audit=AuditReference(seq=seq, included=included),
        )


__all__ = ["AuditReference", "Depth", "Evidence", "Segment", "Verdict", "verify"]
