"""In which order the windows of a film are made, and what each of them is given.

A film is made in windows of five latent frames. It may begin with something given (an image, a film
that goes on), end with something given, or both; windows that follow each other share two frames.
"""

from __future__ import annotations

from dataclasses import dataclass

WINDOW = 5
"""Latent frames of one window: 17 frames."""
OVERLAP = 2
"""Latent frames that a window takes over from the one that was made before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One pass over the latent frames from ``start`` on.

    Those from ``forget`` to the given end are made once more, now that the end is in sight.
    """

    start: int
    length: int = WINDOW
    forget: int | None = None


def plan_windows(total: int, *, begin: int = 0, end: int = 0, still: bool = True) -> tuple[Window, ...]:
    """The passes that make ``total`` latent frames of which the first ``begin`` and last ``end`` are given.

    Without a beginning the first frame is made alone (unless ``still`` is False): it settles what the thing
    is. Towards a given end alone, windows are made from the end to the beginning. A film that ends with
    something given has at least 5 latent frames. Only the last forward window may reach beyond ``total``.
    """
    if end and not begin:
        return _backwards(total)
    windows: list[Window] = []
    made = begin
    if not made and still:
        windows.append(Window(start=0, length=1))
        made = 1
    last = total - WINDOW
    while made < (total if not end else begin if last == 0 else last + OVERLAP):
        start = 0 if made < WINDOW else made - OVERLAP
        windows.append(Window(start=start))
        made = start + WINDOW
    if end:
        windows.append(Window(start=last, forget=max(begin, last + OVERLAP)))
    return tuple(windows)


def _backwards(total: int) -> tuple[Window, ...]:
    """The autoencoder's first latent frame is a picture, the others are four frames: what stands first in a
    window inside the film is of the wrong kind, and is left out."""
    starts = [total - WINDOW]
    while starts[-1] > 0:
        starts.append(max(0, starts[-1] + 1 - (WINDOW - OVERLAP)))
    return tuple(Window(start=start) for start in starts)
