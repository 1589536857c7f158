"""Credentials as evidence, and those a file has lost: found in our store or in a repository named to us."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guarded_sora.evidence import Evidence
from guarded_sora.identify import Identity
from guarded_sora.provenance.clip_id import ClipId
from guarded_sora.provenance.credentials.manifest import SOFT_BINDING_ALGORITHM
from guarded_sora.provenance.credentials.report import SoftBindingClaim
from guarded_sora.provenance.credentials.repository import Found, ask
from guarded_sora.provenance.credentials.resolution import binding_value
from guarded_sora.provenance.credentials.states import Credentials, State
from guarded_sora.provenance.watermark.contract import MarkEvidence, MarkState
from guarded_sora.services import Services
from guarded_sora.stages import StageRunner
from guarded_sora.store import ClipState
from guarded_sora.verdicts import ContentSign

RECOVER = "guarded_sora.provenance.credentials.recover:recover"

_LOST = (State.NO_MANIFEST, State.UNSUPPORTED)
_ALIKE = (ContentSign.SAME, ContentSign.PARTLY)


def credentials_detail(found: Credentials) -> dict[str, Any]:
    """What the evidence tells of credentials; all of it was cleaned where it was read."""
    return {
        "ours": found.ours,
        "reason": found.reason,
        "issuer": found.issuer,
        "label": found.label,
        "clip_id": found.claims.clip_id or None,
        "source_type": found.claims.source_type or None,
        "generator": found.claims.generator or None,
        "says_ai": found.says_ai,
        "codes": list(found.codes),
        "ingredients": [
            {
                "relationship": item.relationship,
                "ours": item.ours,
                "clip_id": item.clip_id or None,
                "failures": list(item.failures),
            }
            for item in found.ingredients
        ],
    }


def recover_lost(
    services: Services,
    runner: StageRunner,
    path: Path,
    credentials: Credentials | None,
    mark: MarkEvidence | None,
    identity: Identity,
) -> tuple[Evidence, ...]:
    """The credentials that belonged to a file without any, found again through our mark, if they are.

    They count as ``recovered`` only with a trusted signer, the same mark inside the manifest and a picture
    that matches; otherwise the evidence says what is missing. Never a verdict.
    """
    if credentials is None or credentials.state not in _LOST:
        return ()
    if mark is None or mark.state is not MarkState.PRESENT or mark.payload is None:
        return ()
    clip_id = ClipId(issuer=services.store.issuer, id=mark.payload.id)
    binding = SoftBindingClaim(algorithm=SOFT_BINDING_ALGORITHM, value=binding_value(clip_id))
    lost = _in_store(services, identity) or _elsewhere(services, runner, path, binding)
    if lost is None:
        return ()
    outcome = runner.run_check_in_worker(
        "credentials.recover",
        RECOVER,
        path,
        lost.store,
        services.trust,
        binding=binding,
        fingerprint_matches=lost.alike,
        version="1",
        deadline=services.settings.deadlines.parse,
    )
    found: Credentials | None = outcome.value
    if found is None:
        return (Evidence(kind="credentials", state="failed", detail={"reason": outcome.run.reason}),)
    detail = credentials_detail(found) | {"found_in": lost.where}
    return (Evidence(kind="credentials", state=found.state.value, detail=detail),)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lost:
    store: bytes
    alike: bool
    where: str


def _in_store(services: Services, identity: Identity) -> _Lost | None:
    record = identity.marked
    if record is None or record.state is not ClipState.RELEASED or record.manifest_label is None:
        return None
    store = services.store.manifest(record.manifest_label)
    return (store and _Lost(store=store, alike=identity.content in _ALIKE, where="store")) or None


def _elsewhere(
    services: Services, runner: StageRunner, path: Path, binding: SoftBindingClaim
) -> _Lost | None:
    """Ask the repositories of the settings in turn; one that gives no answer is no fault of the file."""
    for address in services.settings.repositories:
        outcome = runner.run_check(
            "repository", ask, address, binding, path, version="1", deadline=services.settings.deadlines.parse
        )
        found: Found | None = outcome.value
        if found is not None:
            return _Lost(store=found.store, alike=found.alike, where=address)
    return None
