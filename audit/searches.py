"""Searches kept under a name. They are settings, not records: changing one is no event.

A kept search stands in clear in the database and is nobody's data to erase: keep no names in it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping

import orjson
from sqlalchemy import Engine, delete, insert, select

from guarded_sora.audit.connections import reading, writing
from guarded_sora.audit.errors import EntryInvalid, LogCorrupt, NotFound
from guarded_sora.audit.tables import searches

FILTERS = ("kind", "actor", "subject", "text", "since", "until")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_LONGEST = 1000


def keep(engine: Engine, name: str, filters: Mapping[str, str]) -> None:
    """Keep ``filters`` (names of :data:`FILTERS` to text) under ``name``, in place of an older search.

    ``since`` and ``until`` stay as they were written, so that "7d" means seven days ago every time.
    Raises ``EntryInvalid``, ``WriteFailed``.
    """
    if not _NAME.fullmatch(name):
        raise EntryInvalid("Name a search with lower-case letters, digits, '.', '_' and '-', at most 64.")
    if not filters or set(filters) - set(FILTERS) or any(len(value) > _LONGEST for value in filters.values()):
        raise EntryInvalid(f"A kept search has at least one of {', '.join(FILTERS)}.")
    row = {
        "name": name,
        "filters": orjson.dumps(dict(filters), option=orjson.OPT_SORT_KEYS).decode(),
        "ts": time.time_ns() // 1_000_000,
    }
    with writing(engine) as connection:
        connection.execute(delete(searches).where(searches.c.name == name))
        connection.execute(insert(searches).values(row))


def kept(engine: Engine) -> dict[str, dict[str, str]]:
    """Every kept search by its name, in alphabetical order."""
    with reading(engine) as connection:
        rows = connection.execute(select(searches).order_by(searches.c.name)).all()
    return {row.name: _read(row.name, row.filters) for row in rows}


def find(engine: Engine, name: str) -> dict[str, str]:
    """The filters kept under ``name``. Raises ``NotFound``."""
    with reading(engine) as connection:
        filters = connection.execute(select(searches.c.filters).where(searches.c.name == name)).scalar()
    if filters is None:
        raise NotFound(f"No search is kept as {name!r}; 'guarded-sora audit searches' lists them.")
    return _read(name, filters)


def drop(engine: Engine, name: str) -> None:
    """Forget a search. Raises ``NotFound``."""
    with writing(engine) as connection:
        if not connection.execute(delete(searches).where(searches.c.name == name)).rowcount:
            raise NotFound(f"No search is kept as {name!r}; 'guarded-sora audit searches' lists them.")


def _read(name: str, filters: str) -> dict[str, str]:
    try:
        found = orjson.loads(filters)
        return {key: str(found[key]) for key in FILTERS if found.get(key) is not None}
    except (ValueError, AttributeError) as error:
        raise LogCorrupt(f"The row searches.name={name} holds no search; keep it again.") from error
