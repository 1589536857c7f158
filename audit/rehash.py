"""Re-hashes the whole log and names every row that does not fit: ``audit verify``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Engine, func, select

from guarded_sora.audit import tree
from guarded_sora.audit.append import read_state
from guarded_sora.audit.checkpoint import Checkpoint, open_note
from guarded_sora.audit.connections import reading
from guarded_sora.audit.entry import from_row, row_bytes
from guarded_sora.audit.errors import FileFailed, LogCorrupt, ProofInvalid
from guarded_sora.audit.payloads import Vault
from guarded_sora.audit.tables import checkpoints, events, open_leaves, payloads, tiles

Progress = Callable[[int, int], None]
"""Called as ``progress(entries done, entries in all)``."""

CHUNK = 4 * tree.TILE_WIDTH
MAX_PROBLEMS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """``where``: the exact row, such as ``events.seq=17``. ``what``: how it contradicts the tree."""

    where: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """What was re-hashed. The log holds when ``problems`` is empty."""

    size: int
    root: bytes
    checkpoints: int
    payloads: int
    problems: tuple[Problem, ...] = field(default=())

    @property
    def ok(self) -> bool:
        return not self.problems


class Rehash:
    """One pass over the log, in chunks that each read in their own short transaction.

    The size is fixed at the start, so writers may go on writing. Rows are compared with what their
    own bytes hash to, with the closed tiles, with the state row and with every signed checkpoint.
    """

    def __init__(self, engine: Engine, key: str, vault: Vault | None) -> None:
        self._engine = engine
        self._key = key
        self._vault = vault
        self._problems: list[Problem] = []
        self._frontier = tree.Frontier()
        self._ts = 0
        self._leaves: list[bytes] = []
        self._roots: dict[int, list[bytes]] = {}
        self._payloads = 0
        self._pruned = 0
        self._open = 0
        self._early: tuple[Problem, ...] = ()

    def run(
        self, progress: Progress | None, published: Sequence[str], resume: Path | None = None
    ) -> VerifyReport:
        # Rows and checkpoints are committed together with the state, so whatever is read before the
        # state must lie inside it, however many writers are at work.
        with reading(self._engine) as connection:
            notes = connection.execute(
                select(checkpoints.c.size, checkpoints.c.note).order_by(checkpoints.c.size)
            ).all()
            first, last = connection.execute(select(func.min(events.c.seq), func.max(events.c.seq))).one()
            tops = connection.execute(
                select(tiles.c.level, func.max(tiles.c.idx).label("idx")).group_by(tiles.c.level)
            ).all()
        with reading(self._engine) as connection:
            try:
                state = read_state(connection)
                size, edge = state.frontier.size, state.frontier.to_bytes()
                self._pruned = state.pruned
            except LogCorrupt as error:
                self._report("tree_state.id=1", str(error))
                size, edge = (-1 if last is None else last) + 1, None
        signed = self._signed(notes, published, size)
        if first is not None and first < 0:
            self._report(f"events.seq={first}", "stands before the beginning of the log")
        if last is not None and last >= size:
            self._report(f"events.seq={last}", "stands beyond the end of the log")
        for top in tops:
            if top.idx >= size >> (tree.TILE_HEIGHT * (top.level + 1)):
                self._report(f"tiles.level={top.level}, idx={top.idx}", "stands beyond the end of the log")
        self._open = size >> tree.TILE_HEIGHT << tree.TILE_HEIGHT
        # What was found before the rows were looked at is found again by every run.
        self._early = tuple(self._problems)
        self._start(resume, size)
        for low in range(self._frontier.size, size, CHUNK):
            high = min(low + CHUNK, size)
            self._chunk(low, high, signed)
            if resume is not None and high < size and not high % (16 * CHUNK):
                self._save(resume)
            if progress is not None:
                progress(high, size)
        self._check_roots(signed, 0)
        if resume is not None:
            resume.unlink(missing_ok=True)
        if edge is not None and self._frontier.to_bytes() != edge:
            self._report("tree_state.id=1", "does not hold the right edge of the rows that are there")
        return VerifyReport(
            size=size,
            root=self._frontier.root(),
            checkpoints=len(notes) + len(published),
            payloads=self._payloads,
            problems=tuple(self._problems),
        )

    def _start(self, resume: Path | None, size: int) -> None:
        """Go on where an earlier run was stopped, if its file is there and fits."""
        if resume is None or not resume.exists():
            return
        try:
            kept = orjson.loads(resume.read_bytes())
            frontier = tree.Frontier.from_bytes(kept["size"], bytes.fromhex(kept["frontier"]))
            if frontier.size % CHUNK or frontier.size > size or kept["key"] != self._key:
                raise ValueError
            self._roots = {
                int(level): [bytes.fromhex(item) for item in row] for level, row in kept["roots"].items()
            }
            self._ts, self._payloads = int(kept["ts"]), int(kept["payloads"])
            self._problems += [Problem(**item) for item in kept["problems"]]
            self._frontier = frontier
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise FileFailed(
                f"{resume} does not belong to a run over this log; delete it to start from the beginning."
            ) from error

    def _save(self, resume: Path) -> None:
        kept = {
            "key": self._key,
            "size": self._frontier.size,
            "frontier": self._frontier.to_bytes().hex(),
            "roots": {str(level): [item.hex() for item in row] for level, row in self._roots.items()},
            "ts": self._ts,
            "payloads": self._payloads,
            "problems": [asdict(item) for item in self._problems if item not in self._early],
        }
        partial = resume.with_name(resume.name + ".partial")
        try:
            partial.write_bytes(orjson.dumps(kept))
            partial.replace(resume)
        except OSError as error:
            raise FileFailed(
                f"The place reached could not be kept in {resume} ({error.strerror})."
            ) from error

    def _report(self, where: str, what: str) -> None:
        if len(self._problems) < MAX_PROBLEMS:
            self._problems.append(Problem(where=where, what=what))

    def _signed(self, notes: Sequence[Any], published: Sequence[str], size: int) -> dict[int, list[Any]]:
        """Checkpoints that must hold, by size; those that cannot are reported here."""
        signed: dict[int, list[tuple[str, Checkpoint]]] = {}
        named = [(f"checkpoints.size={row.size}", row.size, row.note) for row in notes]
        named += [(f"published checkpoint {at + 1}", None, note) for at, note in enumerate(published)]
        for where, stored, note in named:
            try:
                checkpoint = open_note(note, self._key)
            except ProofInvalid as error:
                self._report(where, str(error))
                continue
            if stored is not None and stored != checkpoint.size:
                self._report(where, f"holds a checkpoint of size {checkpoint.size}")
            elif checkpoint.size > size:
                self._report(
                    where,
                    f"signs {checkpoint.size} entries, but the log holds {size}: "
                    "its end was cut off or it was rolled back",
                )
            else:
                signed.setdefault(checkpoint.size, []).append((where, checkpoint))
        return signed

    def _chunk(self, low: int, high: int, signed: dict[int, list[Any]]) -> None:
        with reading(self._engine) as connection:
            # In this order: a leaf leaves the open ones when its tile is written, never before.
            opened = connection.execute(
                select(open_leaves)
                .where(open_leaves.c.seq >= low, open_leaves.c.seq < high)
                .order_by(open_leaves.c.seq)
            ).all()
            rows = connection.execute(
                select(events).where(events.c.seq >= low, events.c.seq < high).order_by(events.c.seq)
            ).all()
            full = connection.execute(
                select(tiles).where(
                    tiles.c.level == 0,
                    tiles.c.idx >= low >> tree.TILE_HEIGHT,
                    tiles.c.idx <= (high - 1) >> tree.TILE_HEIGHT,
                )
            ).all()
            by_tile = {row.idx: row for row in full}
            sealed = self._sealed(full, opened)
            found = {row.seq: row for row in rows}
            held = self._payload_rows(connection, low, high)
            for seq in range(low, high):
                leaf = self._row(connection, seq, found.get(seq), sealed.get(seq), held)
                closed: list[tree.ClosedTile] = []
                self._frontier.push(leaf, closed)
                self._leaves.append(leaf)
                for item in closed:
                    self._tile(connection, item, by_tile)
                if self._frontier.size in signed:
                    self._check_roots(signed, self._frontier.size)

    @staticmethod
    def _sealed(full: Sequence[Any], opened: Sequence[Any]) -> dict[int, bytes]:
        """The leaves that were kept when the rows came in, by position."""
        kept: dict[int, bytes] = {}
        runs = [(row.seq, row.leaves) for row in opened]
        runs += [(row.idx << tree.TILE_HEIGHT, row.data) for row in full]
        for first, data in runs:
            for at in range(len(data) // tree.HASH):
                kept[first + at] = data[at * tree.HASH : (at + 1) * tree.HASH]
        return kept

    def _row(self, connection: Any, seq: int, row: Any, sealed: bytes | None, held: set[int]) -> bytes:
        """Check one event row; returns the leaf hash to go on with.

        Where the row was changed but the leaf that was kept when it came in is still there, that leaf is
        used, so that one changed row is one problem and not a problem of every root after it.
        """
        where = f"events.seq={seq}"
        if row is None:
            if seq >= self._pruned or sealed is None:
                self._report(where, "is missing")
            return bytes(tree.HASH) if sealed is None else sealed
        try:
            leaf = tree.leaf_hash(row_bytes(row))
        except LogCorrupt:
            self._report(where, "does not hold an entry")
            return bytes(tree.HASH) if sealed is None else sealed
        if sealed is None:
            if seq >= self._open:
                self._report(f"open_leaves of events.seq={seq}", "are missing from here on")
                self._open = seq + tree.TILE_WIDTH
        elif sealed != leaf:
            self._report(where, "holds another entry than the one that was hashed when it came in")
            return sealed
        self._fields(connection, where, row, held)
        return leaf

    def _fields(self, connection: Any, where: str, row: Any, held: set[int]) -> None:
        try:
            entry = from_row(row)
        except LogCorrupt:
            self._report(where, "does not hold an entry")
            return
        if entry.ts < self._ts:
            self._report(where, "is older than the entry before it")
        self._ts = max(self._ts, entry.ts)
        if entry.payload is None:
            if row.seq in held:
                self._report(f"payloads.seq={row.seq}", "holds a payload its entry does not commit to")
            return
        self._payloads += 1
        if self._vault is not None:
            try:
                self._vault.open(connection, entry)
            except LogCorrupt as error:
                self._report(f"payloads.seq={row.seq}", str(error))

    def _payload_rows(self, connection: Any, low: int, high: int) -> set[int]:
        if self._vault is None:
            return set()
        query = select(payloads.c.seq).where(payloads.c.seq >= low, payloads.c.seq < high)
        return set(connection.execute(query).scalars())

    def _tile(self, connection: Any, closed: tree.ClosedTile, known: dict[int, Any]) -> None:
        where = f"tiles.level={closed.level}, idx={closed.idx}"
        below = self._leaves if closed.level == 0 else self._roots.get(closed.level - 1, [])
        expected = b"".join(below[-tree.TILE_WIDTH :])
        del below[:]
        self._roots.setdefault(closed.level, []).append(closed.root)
        row = known.get(closed.idx) if closed.level == 0 else None
        if row is None:
            row = connection.execute(
                select(tiles).where(tiles.c.level == closed.level, tiles.c.idx == closed.idx)
            ).first()
        if row is None:
            self._report(where, "is missing")
        elif row.data != expected or row.root != closed.root:
            self._report(where, "does not hold the hashes of the rows below it")

    def _check_roots(self, signed: dict[int, list[Any]], size: int) -> None:
        if self._frontier.size != size and size:
            return
        root = self._frontier.root() if size else tree.EMPTY_ROOT
        for where, checkpoint in signed.get(size, ()):
            if checkpoint.root != root:
                self._report(where, "signs another root than the rows give: a row below it was changed")
