"""Tables of what must stay down, and of the policy packs that decided here."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Integer, LargeBinary, SmallInteger, String, Table

from guarded_sora.store.tables import metadata

_BIG = BigInteger().with_variant(Integer(), "sqlite")

stay_downs = Table(
    "stay_downs",
    metadata,
    Column("stay_down_id", _BIG, primary_key=True, autoincrement=True),
    Column("case_id", String(36), nullable=False, index=True),
    # The clip of ours, where it is one; the exact file, where one was given.
    Column("clip_id", String(32), index=True),
    Column("file_sha256", String(64), index=True),
    Column("since_ms", BigInteger, nullable=False),
    Column("lifted_ms", BigInteger),
)

stay_down_hashes = Table(
    "stay_down_hashes",
    metadata,
    Column("stay_down_id", _BIG, ForeignKey("stay_downs.stay_down_id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("second_ms", Integer, nullable=False),
    Column("bits", LargeBinary(32), nullable=False),
    Column("cells", LargeBinary(32), nullable=False),
    Column("quality", SmallInteger, nullable=False),
)

policy_texts = Table(
    "policy_texts",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("pack_id", String(200), nullable=False),
    Column("version", String(64), nullable=False),
    Column("since_ms", BigInteger, nullable=False),
    # Compressed JSON: file names to base64, as the digest was taken over them.
    Column("files", LargeBinary, nullable=False),
)
