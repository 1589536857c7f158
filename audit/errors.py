"""Errors of the audit package.

AuditError
├── EntryInvalid     an event that cannot be written as canonical JSON, or is too large
├── WriteFailed      the database refused or lost the append; nothing is half-written
├── ReadFailed       the database could not be read
├── NotFound         no such event, case or checkpoint
├── Conflict         somebody else holds or has already decided what was asked for
├── ErasureRefused   a hold forbids erasing this person's data now
├── ProofInvalid     a proof, checkpoint or export that does not hold
├── LogCorrupt       stored rows that contradict the tree; the message names the row
├── SchemaMismatch   the database was made by another version of this program
└── FileFailed       a file next to the log could not be written or read
"""


class AuditError(Exception):
    """Root of every error this package raises on purpose; ``code`` is stable."""

    code = "audit"


class EntryInvalid(AuditError):
    code = "audit.entry_invalid"


class WriteFailed(AuditError):
    code = "audit.write_failed"


class ReadFailed(AuditError):
    code = "audit.read_failed"


class NotFound(AuditError):
    code = "audit.not_found"


class Conflict(AuditError):
    code = "audit.conflict"


class ErasureRefused(AuditError):
    code = "audit.erasure_refused"


class ProofInvalid(AuditError):
    code = "audit.proof_invalid"


class LogCorrupt(AuditError):
    code = "audit.log_corrupt"


class SchemaMismatch(AuditError):
    code = "audit.schema_mismatch"


class FileFailed(AuditError):
    code = "audit.file_failed"
