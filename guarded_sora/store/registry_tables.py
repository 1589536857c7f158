"""Tables of the registry: subjects, their names, faces and works, consents, and notices on clips.

Names and face templates are ciphertext; what a row is looked up by is a keyed hash or a random id.
Perceptual hashes of works stand in clear, for they are searched; no picture can be made from them.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Integer, LargeBinary, SmallInteger, String, Table

from guarded_sora.store.tables import metadata

_BIG = BigInteger().with_variant(Integer(), "sqlite")

registry_state = Table(
    "registry_state",
    metadata,
    Column("id", SmallInteger, primary_key=True),
    # Grows with every change, so that indices in memory know when they are old.
    Column("revision", BigInteger, nullable=False),
)

subjects = Table(
    "subjects",
    metadata,
    Column("subject_id", String(32), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("standing", String(16), nullable=False),
    Column("jurisdiction", String(8), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("removed_ms", BigInteger),
    # Name, note and licence terms as sealed JSON; gone when the subject is removed.
    Column("sealed", LargeBinary),
)

subject_names = Table(
    "subject_names",
    metadata,
    Column("name_id", _BIG, primary_key=True, autoincrement=True),
    Column("subject_id", String(32), ForeignKey("subjects.subject_id"), nullable=False, index=True),
    Column("name_key", String(64), nullable=False, index=True),
    Column("sealed", LargeBinary, nullable=False),
)

face_templates = Table(
    "face_templates",
    metadata,
    Column("template_id", _BIG, primary_key=True, autoincrement=True),
    Column("subject_id", String(32), ForeignKey("subjects.subject_id"), nullable=False, index=True),
    Column("model", String(64), nullable=False),
    Column("key_epoch", Integer, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)

work_references = Table(
    "work_references",
    metadata,
    Column("reference_id", _BIG, primary_key=True, autoincrement=True),
    Column("subject_id", String(32), ForeignKey("subjects.subject_id"), nullable=False, index=True),
    Column("kind", String(8), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)

work_hashes = Table(
    "work_hashes",
    metadata,
    Column("reference_id", _BIG, ForeignKey("work_references.reference_id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("second_ms", Integer, nullable=False),
    Column("bits", LargeBinary(32), nullable=False),
    Column("quality", SmallInteger, nullable=False),
)

work_bands = Table(
    "work_bands",
    metadata,
    Column("band", SmallInteger, primary_key=True),
    Column("value", Integer, primary_key=True),
    Column("reference_id", _BIG, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("bits", LargeBinary(32), nullable=False),
    sqlite_with_rowid=False,
)

work_keyframes = Table(
    "work_keyframes",
    metadata,
    Column("reference_id", _BIG, ForeignKey("work_references.reference_id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("model", String(64), nullable=False),
    # Features of one picture; a sketch of it could be drawn from them.
    Column("sealed", LargeBinary, nullable=False),
)

consent_grants = Table(
    "consent_grants",
    metadata,
    Column("grant_id", String(36), primary_key=True),
    Column("subject_id", String(32), ForeignKey("subjects.subject_id"), nullable=False, index=True),
    Column("grantee", String(64), nullable=False),
    Column("scopes", String(64), nullable=False),
    Column("purpose", String(64), nullable=False),
    Column("territory", String(200), nullable=False),
    Column("not_before_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("max_uses", Integer),
    Column("created_ms", BigInteger, nullable=False),
    Column("signature", LargeBinary(64), nullable=False),
    # What changes after the signature.
    Column("uses", Integer, nullable=False),
    Column("revoked_ms", BigInteger),
    Column("revoked_reason", String(64)),
)

consent_uses = Table(
    "consent_uses",
    metadata,
    Column("grant_id", String(36), ForeignKey("consent_grants.grant_id"), primary_key=True),
    Column("clip_id", String(32), ForeignKey("clips.clip_id"), primary_key=True),
    Column("intent_id", String(36), nullable=False),
    Column("token_id", String(36), nullable=False),
    Column("used_ms", BigInteger, nullable=False),
)

clip_notices = Table(
    "clip_notices",
    metadata,
    Column("clip_id", String(32), ForeignKey("clips.clip_id"), primary_key=True),
    Column("code", String(32), primary_key=True),
    Column("cause", String(64), primary_key=True),
    Column("since_ms", BigInteger, nullable=False),
)
