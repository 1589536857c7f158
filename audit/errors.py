"""Errors of the audit package.

AuditError
├── EntryInvalid     an event that cannot be written as canonical JSON, or is too large
├── WriteFailed      the database refused or lost the append; nothing was written
├── NotFound         no such event, case or checkpoint
├── ProofInvalid     a proof, checkpoint or export that does not hold
├── LogCorrupt       stored rows that contradict the tree; the message names the row
└── SchemaMismatch   the database was made by another version of this program
"""


class AuditError(Exception):
    """Root of every error this package raises on purpose; ``code`` is stable."""

    code = "audit"


class EntryInvalid(AuditError):
    code = "audit.entry_invalid"


class WriteFailed(AuditError):
    code = "audit.write_failed"


class NotFound(AuditError):
    code = "audit.not_found"


class ProofInvalid(AuditError):
    code = "audit.proof_invalid"


class LogCorrupt(AuditError):
    code = "audit.log_corrupt"


class SchemaMismatch(AuditError):
    code = "audit.schema_mismatch"
