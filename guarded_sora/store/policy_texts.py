"""PolicyTexts: every pack that ever decided here, word for word, under its digest.

A decision names its pack by digest; whoever asks years later what the rules said needs the text. Packs
are edited in place, so a copy is kept the first time one is opened.
"""

from __future__ import annotations

import base64
import binascii
import time
import zlib
from collections.abc import Mapping

import orjson
from sqlalchemy import Engine, insert, select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from guarded_sora.errors import StoreError
from guarded_sora.policies.pack import Pack
from guarded_sora.store.access import refused
from guarded_sora.store.stay_down_tables import policy_texts


class PolicyTexts:
    """Packs by digest, on one Engine. Raises (all methods): StoreError when the database refuses."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def keep(self, pack: Pack) -> None:
        """Keep the text of ``pack``; nothing to do costs one SELECT."""
        known = select(policy_texts.c.digest).where(policy_texts.c.digest == pack.digest)
        files = {name: base64.b64encode(data).decode() for name, data in pack.files.items()}
        try:
            with self._engine.connect() as connection:
                if connection.execute(known).first() is not None:
                    return
            with self._engine.begin() as connection:
                connection.execute(
                    insert(policy_texts).values(
                        digest=pack.digest,
                        pack_id=pack.id,
                        version=pack.version,
                        since_ms=time.time_ns() // 1_000_000,
                        files=zlib.compress(orjson.dumps(files), 6),
                    )
                )
        except IntegrityError:
            return  # another process was first
        except SQLAlchemyError as error:
            raise refused(error) from error

    def text(self, digest: str) -> Mapping[str, bytes] | None:
        """The files of the pack with this digest, by name; None when it never decided here."""
        query = select(policy_texts.c.files).where(policy_texts.c.digest == digest)
        try:
            with self._engine.connect() as connection:
                found = connection.execute(query).scalar()
        except SQLAlchemyError as error:
            raise refused(error) from error
        if found is None:
            return None
        try:
            files = orjson.loads(zlib.decompress(bytes(found)))
            return {name: base64.b64decode(data) for name, data in files.items()}
        except (zlib.error, orjson.JSONDecodeError, binascii.Error, AttributeError) as error:
            raise StoreError(
                f"The stored text of policy pack {digest[:12]} is damaged; restore the database."
            ) from error
