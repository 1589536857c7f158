"""The views of a text, made once for all the checks of a request.

Several checks read the same words in the same views. Inside :func:`one_request` they share them: the first
that asks makes them, and they are gone with the request, so no prompt is kept longer than it is judged. A
thread that runs with a copy of the request's context shares them too. Outside a request every call makes its
own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from guarded_sora.policies.text.normalise import View, base_views, derive_views, sanitise

MOST_READINGS: Final = 4


class Reading:
    """A text, sanitised, and its views. Two threads that ask at once may make the same views twice.

    No ``cached_property``: up to Python 3.11 it locks all texts while it makes the views of one.
    """

    __slots__ = ("_bases", "_views", "text")

    def __init__(self, text: str) -> None:
        self.text: Final = sanitise(text)
        self._bases: Sequence[View] | None = None
        self._views: Sequence[View] | None = None

    @property
    def bases(self) -> Sequence[View]:
        """What :func:`base_views` gives."""
        if self._bases is None:
            self._bases = tuple(base_views(self.text))
        return self._bases

    @property
    def views(self) -> Sequence[View]:
        """``bases`` and what :func:`derive_views` makes of them."""
        if self._views is None:
            bases = self.bases
            self._views = (*bases, *derive_views(bases))
        return self._views


_READINGS: ContextVar[dict[str, Reading] | None] = ContextVar("readings", default=None)


@contextmanager
def one_request() -> Iterator[None]:
    """Until its end :func:`read` makes the views of a text once. Requests may stand inside one another."""
    token = _READINGS.set({})
    try:
        yield
    finally:
        _READINGS.reset(token)


def read(text: str) -> Reading:
    """The reading of ``text``: of the first few texts of a request the shared one, else a new one."""
    readings = _READINGS.get()
    if readings is None:
        return Reading(text)
    found = readings.get(text)
    if found is None:
        found = Reading(text)
        if len(readings) < MOST_READINGS:
            readings[text] = found
    return found
