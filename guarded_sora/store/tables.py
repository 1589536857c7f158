"""Tables of the store: the one home of clips, ids, manifests and fingerprints."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
)

metadata = MetaData()

clips = Table(
    "clips",
    metadata,
    Column("clip_id", String(32), primary_key=True),
    # The 40 bits that the mark carries; unique, because a mark must name one clip.
    Column("number", BigInteger, nullable=False, unique=True),
    Column("state", String(16), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("intent_id", String(36), nullable=False),
    Column("file_sha256", String(64), index=True),
    Column("manifest_label", String(128)),
    Column("audit_seq", BigInteger),
    Column("seconds_ms", Integer),
    Column("width", Integer),
    Column("height", Integer),
)

manifests = Table(
    "manifests",
    metadata,
    Column("label", String(128), primary_key=True),
    Column("clip_id", String(32), ForeignKey("clips.clip_id"), nullable=False, index=True),
    Column("store", LargeBinary, nullable=False),
)

# The film that a protected clip was made from: its bytes are known, so the film is told as what it is.
clip_sources = Table(
    "clip_sources",
    metadata,
    Column("clip_id", String(32), ForeignKey("clips.clip_id"), primary_key=True),
    Column("file_sha256", String(64), nullable=False, index=True),
)

fingerprints = Table(
    "fingerprints",
    metadata,
    Column("clip_id", String(32), ForeignKey("clips.clip_id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("second_ms", Integer, nullable=False),
    Column("bits", LargeBinary(32), nullable=False),
    Column("cells", LargeBinary(32), nullable=False),
    Column("quality", SmallInteger, nullable=False),
)

# 16 bands of 16 bits: two hashes within 31 of 256 bits agree in at least one band up to one bit
# (pigeonhole), so an exact search looks up 16 * 17 values and needs no extension of the database.
fingerprint_bands = Table(
    "fingerprint_bands",
    metadata,
    Column("band", SmallInteger, primary_key=True),
    Column("value", Integer, primary_key=True),
    Column("clip_id", String(32), ForeignKey("clips.clip_id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("bits", LargeBinary(32), nullable=False),
    sqlite_with_rowid=False,
)

Index("clips_by_state", clips.c.state, clips.c.created_ms)
