"""The log for the outside: checkpoint, tiles and proofs in the C2SP forms. Read only.

Formats: c2sp.org/tlog-tiles, c2sp.org/tlog-checkpoint, c2sp.org/tlog-proof. The checkpoint is open to
all, for a witness must be able to read it; entries name pseudonyms, so the rest needs a key.
"""

from __future__ import annotations

import re
import struct
from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import PlainTextResponse, Response
from sqlalchemy import select

from guarded_sora.audit.connections import reading
from guarded_sora.audit.entry import from_row
from guarded_sora.audit.errors import NotFound
from guarded_sora.audit.tables import events
from guarded_sora.audit.tiles import TileCache, TileReader
from guarded_sora.server.access import Principal
from guarded_sora.server.problems import Problem, documented
from guarded_sora.server.state import Here, Server, needs

router = APIRouter(prefix="/audit", tags=["audit"])
Key = Annotated[Principal, needs("audit.read")]

WIDTH = 256
_BYTES = "application/octet-stream"
_PLACE = re.compile(r"((?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")
# Private: what a key opened must not be answered by a shared cache to somebody without one.
_LONG = "private, max-age=31536000, immutable"


@router.get(
    "/checkpoint", response_class=PlainTextResponse, responses={200: {"description": "A signed note."}}
)
def checkpoint(server: Here) -> PlainTextResponse:
    """The newest signed size and root of the log, for anybody to keep."""
    note = server.services.log.checkpoint(force=False).note
    return PlainTextResponse(note, headers={"cache-control": "public, max-age=2"})


@router.get(
    "/tile/entries/{place:path}",
    response_model=None,
    responses={
        200: {"description": "Entries, each with its length in two bytes.", "content": {_BYTES: {}}},
        **documented(401, 403, 404),
    },
)
def entries(place: Annotated[str, Path(max_length=64)], server: Here, principal: Key) -> Response:
    """Up to 256 entries, as the leaves were taken over them."""
    tile, width = _parse(place)
    _require(server, 0, tile, width)
    low = tile * WIDTH
    query = select(events).where(events.c.seq.between(low, low + width - 1)).order_by(events.c.seq)
    with reading(server.services.engine) as connection:
        rows = [from_row(row).canonical for row in connection.execute(query)]
    if len(rows) != width:
        raise Problem(404, "These entries are no longer kept.", code="pruned")
    return _bytes(b"".join(struct.pack(">H", len(row)) + row for row in rows))


@router.get(
    "/tile/{level}/{place:path}",
    response_model=None,
    responses={
        200: {"description": "Hashes, 32 bytes each.", "content": {_BYTES: {}}},
        **documented(401, 403, 404, 422),
    },
)
def tile(
    level: Annotated[int, Path(ge=0, le=7)],
    place: Annotated[str, Path(max_length=64)],
    server: Here,
    principal: Key,
) -> Response:
    """Up to 256 neighbouring hashes of one level of the tree."""
    index, width = _parse(place)
    size = _require(server, level, index, width)
    with reading(server.services.engine) as connection:
        row = TileReader(connection, size, TileCache(capacity=1)).row(level, index, width)
    return _bytes(row)


@router.get(
    "/proof/{seq}.tlog-proof",
    response_class=PlainTextResponse,
    responses={200: {"description": "An inclusion proof."}, **documented(401, 403, 404, 422)},
)
def proof(seq: Annotated[int, Path(ge=0, lt=2**62)], server: Here, principal: Key) -> PlainTextResponse:
    """That entry ``seq`` stands in the log; the entry itself is in its bundle."""
    try:
        return PlainTextResponse(server.services.log.prove(seq).text())
    except NotFound as error:
        raise Problem(404, str(error), code="not_found") from error


def _parse(place: str) -> tuple[int, int]:
    """``x001/x234/067.p/12`` is tile 1234067, 12 hashes wide. Raises Problem 404."""
    found = _PLACE.fullmatch(place)
    if found is None or int(found[2] or WIDTH) > WIDTH or found[2] == str(WIDTH):
        raise Problem(404, "A tile's place reads x001/x234/067 or 067.p/12.", code="not_found")
    return int(found[1].replace("x", "").replace("/", "")), int(found[2] or WIDTH)


def _require(server: Server, level: int, index: int, width: int) -> int:
    """The size of the signed tree, which must reach to the end of this tile. Raises Problem 404."""
    size = server.services.log.checkpoint(force=False).size
    if index * WIDTH + width > size >> (8 * level):
        raise Problem(404, "The signed tree does not reach so far.", code="not_found")
    return size


def _bytes(data: bytes) -> Response:
    return Response(data, media_type=_BYTES, headers={"cache-control": _LONG})
