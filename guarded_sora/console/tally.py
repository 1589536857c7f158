"""Counts for the log page without asking the database each time: entries never change once written.

Position, time and kind of the newest entries stand in memory, 18 bytes each, and only what was
appended since is read. That keeps the page as quick with millions of entries as with a hundred.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine, select

from guarded_sora.audit.connections import reading
from guarded_sora.audit.tables import events

MOST = 500_000
_CHUNK = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Entries, oldest first: ``seqs`` int64 (N,), ``times`` int64 (N,) in milliseconds, ``kinds`` int16 (N,).

    ``names[kinds[i]]`` is the kind of entry ``i``. ``whole`` tells that no older entry was left out.
    """

    seqs: NDArray[np.int64]
    times: NDArray[np.int64]
    kinds: NDArray[np.int16]
    names: tuple[str, ...]
    whole: bool

    def of_kind(self, kind: str) -> Counted:
        """Those of one kind, or of all below it where it ends in ``.*``."""
        wanted = [code for code, name in enumerate(self.names) if is_kind(name, kind)]
        return self._where(np.isin(self.kinds, np.array(wanted, dtype=np.int16)))

    def since(self, moment: int) -> Counted:
        """Those at ``moment`` or later."""
        first = int(np.searchsorted(self.times, moment))
        return self._where(slice(first, None), whole=self.whole or first > 0)

    def facets(self) -> list[tuple[str, int]]:
        """How many entries of each kind there are, by name."""
        counts = np.bincount(self.kinds, minlength=len(self.names))
        return sorted((name, int(count)) for name, count in zip(self.names, counts, strict=True) if count)

    def bars(self, start: int, end: int, number: int) -> NDArray[np.int64]:
        """Entries in each of ``number`` equal spans from ``start`` to ``end``, int64 (number,)."""
        inside = self.times[(self.times >= start) & (self.times <= end)]
        place = (inside - start) * number // max(1, end - start + 1)
        return np.bincount(place, minlength=number).astype(np.int64)

    def newest(self, count: int, *, before: int | None) -> list[int]:
        """Positions of the ``count`` newest entries below ``before``, newest first."""
        end = len(self.seqs) if before is None else int(np.searchsorted(self.seqs, before))
        return [int(seq) for seq in self.seqs[max(0, end - count) : end][::-1]]

    def _where(self, chosen: slice | NDArray[np.bool_], *, whole: bool | None = None) -> Counted:
        return Counted(
            seqs=self.seqs[chosen],
            times=self.times[chosen],
            kinds=self.kinds[chosen],
            names=self.names,
            whole=self.whole if whole is None else whole,
        )


class Tally:
    """The newest ``most`` entries of the log behind ``engine``; safe to use from several threads."""

    def __init__(self, engine: Engine, *, most: int = MOST) -> None:
        self._engine = engine
        self._most = most
        self._lock = threading.Lock()
        self._codes: dict[str, int] = {}
        self._seqs = np.zeros(0, np.int64)
        self._times = np.zeros(0, np.int64)
        self._kinds = np.zeros(0, np.int16)
        self._last = -1
        self._first = 0

    def now(self) -> Counted:
        """Everything up to the newest entry."""
        with self._lock:
            self._catch_up()
            return Counted(
                seqs=self._seqs,
                times=self._times,
                kinds=self._kinds,
                names=tuple(self._codes),
                whole=self._first == 0,
            )

    def _catch_up(self) -> None:
        with reading(self._engine) as connection:
            newest = connection.execute(select(events.c.seq).order_by(events.c.seq.desc()).limit(1)).scalar()
            if newest is None or newest == self._last:
                return
            self._first = max(self._first, newest + 1 - self._most)
            columns = select(events.c.seq, events.c.ts, events.c.kind).order_by(events.c.seq).limit(_CHUNK)
            while True:
                after = max(self._last, self._first - 1)
                rows = connection.execute(columns.where(events.c.seq > after)).all()
                if not rows:
                    break
                self._add(rows)
        # A copy is kept, so that whoever still reads an older state is not disturbed.
        low = int(np.searchsorted(self._seqs, self._first))
        if low > self._most // 4:
            self._seqs, self._times, self._kinds = self._seqs[low:], self._times[low:], self._kinds[low:]

    def _add(self, rows: Sequence[Any]) -> None:
        seqs, times, kinds = zip(*rows, strict=True)
        codes = [self._codes.setdefault(kind, len(self._codes)) for kind in kinds]
        self._seqs = np.concatenate([self._seqs, np.array(seqs, np.int64)])
        self._times = np.concatenate([self._times, np.array(times, np.int64)])
        self._kinds = np.concatenate([self._kinds, np.array(codes, np.int16)])
        self._last = int(seqs[-1])


def is_kind(name: str, wanted: str) -> bool:
    """Whether ``name`` is ``wanted``, or below it where that ends in ``.*``."""
    return name.startswith(wanted[:-1]) if wanted.endswith(".*") else name == wanted
