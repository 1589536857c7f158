"""Errors of the guard.

GuardedSoraError
├── Blocked              the policy refused; carries the decision
├── ReviewRequired       a person must look first; carries the case id and the decision
├── UsageError           arguments that cannot be used as given
├── MediaError           a file that is no film we can read, is too large, or cannot be written
├── StageFailed          a stage raised, timed out or was killed; carries the stage's name
├── ProvenanceError      marking, signing or reading back did not hold
├── KeyMissing           a key the store needs is gone
├── StoreError           the database refused, or has another version's schema
├── BackendUnavailable   the generator asked for is not installed or cannot be loaded
└── GenerationFailed     the generator ran and did not return a clip
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from guarded_sora.policies.finding import Decision


class GuardedSoraError(Exception):
    """Root of every error this package raises on purpose.

    ``code`` is stable: it appears in the log, in HTTP bodies and in ``--json`` output. The
    message is one sentence that says what to do next; it never repeats a prompt.
    """

    code = "error"


class Blocked(GuardedSoraError):
    """The policy refused the request. Nothing was released."""

    code = "blocked"

    def __init__(self, decision: Decision, *, audit_seq: int | None = None) -> None:
        reasons = ", ".join(rule.id for rule in decision.decisive) or "policy"
        super().__init__(f"The request was blocked by policy ({reasons}).")
        self.decision = decision
        self.audit_seq = audit_seq


class ReviewRequired(GuardedSoraError):
    """A person must decide first; ``guarded-sora cases show CASE`` shows what waits."""

    code = "review_required"

    def __init__(self, case_id: str, decision: Decision, *, audit_seq: int | None = None) -> None:
        super().__init__(f"The request waits for review as case {case_id}.")
        self.case_id = case_id
        self.decision = decision
        self.audit_seq = audit_seq


class UsageError(GuardedSoraError):
    code = "usage"


class MediaError(GuardedSoraError):
    code = "media"


class StageFailed(GuardedSoraError):
    """A stage of the guard did not finish; nothing it does later can release anything."""

    code = "stage_failed"

    def __init__(self, stage: str, reason: str) -> None:
        super().__init__(f"The stage '{stage}' failed: {reason}. Nothing was released.")
        self.stage = stage
        self.reason = reason


class ProvenanceError(GuardedSoraError):
    code = "provenance"


class KeyMissing(GuardedSoraError):
    code = "key_missing"


class StoreError(GuardedSoraError):
    code = "store"


class BackendUnavailable(GuardedSoraError):
    code = "backend_unavailable"


class GenerationFailed(GuardedSoraError):
    code = "generation_failed"
