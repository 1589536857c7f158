"""Credentials found again for a clip that lost them: a stored manifest, reached by mark or fingerprint.

The hard binding of a recovered manifest never holds, because the container was written anew. So a
recovered manifest counts only when everything else does: a trusted signer, no other failure, the very mark
that was read from the clip named inside the manifest (a mark can be lifted onto other content), and a
fingerprint taken at signing that matches the clip. Source: C2PA soft binding specification 2.2, section
1.2.2.3.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from guarded_sora.provenance.credentials.container import DEFAULT_LIMITS, Limits, inspect
from guarded_sora.provenance.credentials.read import read_library
from guarded_sora.provenance.credentials.report import SoftBindingClaim, active_codes
from guarded_sora.provenance.credentials.states import Credentials, State, decide, time_proven
from guarded_sora.provenance.credentials.trust import Trust

_HARD_BINDING = frozenset(
    {
        "assertion.bmffHash.mismatch",
        "assertion.dataHash.mismatch",
        "assertion.boxesHash.mismatch",
        "assertion.hardBinding.missing",
    }
)


def recover(
    path: Path,
    store: bytes,
    trust: Trust,
    *,
    binding: SoftBindingClaim,
    fingerprint_matches: bool,
    limits: Limits = DEFAULT_LIMITS,
) -> Credentials:
    """Judge the manifest ``store`` for the clip at ``path``; made to run in a worker, as ``read`` is.

    ``binding`` is the mark as read from the clip; ``fingerprint_matches`` whether the clip's fingerprint
    is the one stored when the manifest was signed. The result's state is ``RECOVERED`` when all conditions
    hold, ``TRUSTED`` or the like when the manifest even matches the bytes, and otherwise what the
    credentials amount to, with the missing condition as a code (prefix ``recover.``). Raises
    ``MediaError`` when the file cannot be opened.
    """
    container = inspect(path, limits)
    if container.refused or container.kind == "unknown":
        return Credentials(
            state=State.REJECTED_BY_GUARD if container.refused else State.UNSUPPORTED,
            reason=container.refused or "the file is no film or picture that can carry credentials",
            codes=(f"guard.{container.refused_code}",) if container.refused else (),
            container=container,
        )
    reading = read_library(path, trust, container, store)
    found = decide(reading, container)
    if found.state is not State.TAMPERED:
        return found
    success, failure, _ = active_codes(reading.report)
    signer = reading.signers.get(found.label)
    missing = []
    if signer is None or signer.anchor == "none":
        missing.append("recover.signer_not_trusted")
    elif signer.revoked:
        missing.append("recover.signer_revoked")
    elif signer.expired and not time_proven(signer, success):
        missing.append("recover.signer_expired")
    if set(failure) - _HARD_BINDING - {"signingCredential.untrusted"}:
        missing.append("recover.other_failure")
    if binding not in found.claims.soft_bindings:
        missing.append("recover.binding_not_in_manifest")
    if not fingerprint_matches:
        missing.append("recover.fingerprint_differs")
    if missing:
        return replace(
            found,
            reason="a stored manifest was found, but it cannot be tied to this clip",
            codes=(*found.codes, *missing),
        )
    return replace(
        found,
        state=State.RECOVERED,
        reason="found again through the mark; the file itself carries no credentials",
        issuer=signer.organisation if signer else "",
        embedded=False,
    )
