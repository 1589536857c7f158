"""What the legs of an examination amount to: the signs that the verdict table looks at."""

from __future__ import annotations

from guarded_sora.identify import Identity
from guarded_sora.provenance.credentials.metadata import Declared
from guarded_sora.provenance.credentials.states import Credentials, State
from guarded_sora.provenance.watermark.contract import MarkEvidence, MarkState
from guarded_sora.verdicts import CredentialSign, MarkSign, Signs

# Anybody can name a film of ours as an ingredient; only a signer we trust is believed that it is one.
_TRUSTED = (State.TRUSTED, State.TRUSTED_WITH_BAD_INGREDIENT)


def read_signs(
    readable: bool,
    credentials: Credentials | None,
    declared: Declared | None,
    mark: MarkEvidence | None,
    identity: Identity,
    *,
    exact_file: bool,
    failed: bool,
    source_film: bool = False,
    public_mark: bool = False,
) -> Signs:
    """Reduce the evidence to signs; None for a leg means that it was not examined or failed."""
    ours_claimed = credentials is not None and credentials.ours and credentials.claims.clip_id
    marked_id = identity.marked.clip_id if identity.marked else None
    return Signs(
        readable=readable,
        credentials=_credential_sign(credentials),
        mark=_mark_sign(mark, identity, expected=bool(ours_claimed), failed=failed),
        content=identity.content,
        exact_file=exact_file,
        source_film=source_film,
        bad_ingredient=credentials is not None and credentials.state is State.TRUSTED_WITH_BAD_INGREDIENT,
        our_ingredient=credentials is not None
        and credentials.state in _TRUSTED
        and not credentials.ours
        and any(item.ours and not item.failures for item in credentials.ingredients),
        contradiction=bool(ours_claimed and marked_id and str(marked_id) != ours_claimed),
        declares_synthetic=bool(declared and declared.says_ai),
        claims_ai=bool(credentials and credentials.says_ai),
        public_mark=public_mark,
        failed=failed,
    )


def _mark_sign(mark: MarkEvidence | None, identity: Identity, *, expected: bool, failed: bool) -> MarkSign:
    """``expected``: our signature says that there is one, so not having looked is no absence."""
    if mark is None:
        return MarkSign.UNCHECKED if failed or expected else MarkSign.ABSENT
    if mark.state is MarkState.PRESENT:
        return MarkSign.OURS if identity.marked else MarkSign.UNKNOWN
    return MarkSign.BELOW if mark.state is MarkState.INCONCLUSIVE and mark.rho > 0 else MarkSign.ABSENT


def _credential_sign(found: Credentials | None) -> CredentialSign:
    if found is None:
        return CredentialSign.UNCHECKED
    match found.state:
        # A container that cannot carry credentials simply carries none.
        case State.NO_MANIFEST | State.UNSUPPORTED:
            return CredentialSign.NONE
        case State.TRUSTED | State.TRUSTED_WITH_BAD_INGREDIENT:
            return CredentialSign.OURS if found.ours else CredentialSign.TRUSTED
        case State.EXPIRED_NO_TIMESTAMP:
            return CredentialSign.OURS_EXPIRED if found.ours else CredentialSign.UNPROVEN
        case State.VALID_UNKNOWN_SIGNER | State.REVOKED:
            return CredentialSign.UNPROVEN
        case State.TAMPERED | State.INVALID_MANIFEST:
            return CredentialSign.BROKEN
        case _:
            return CredentialSign.UNCHECKED
