"""What a frame detector is: pixels in, findings out, no decision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.policies.finding import Finding


@runtime_checkable
class FrameCheck(Protocol):
    """A detector that others may implement (entry-point group ``guarded_sora.detectors``)."""

    @property
    def name(self) -> str:
        """Stable, dotted, such as ``frames.unsafe``."""
        ...

    @property
    def version(self) -> str:
        """Changes whenever a score may change."""
        ...

    @property
    def unavailable(self) -> str:
        """Why this check cannot run here, in one sentence; empty when it can."""
        ...

    def inspect(self, frames: FrameBatch) -> Sequence[Finding]:
        """Look at sampled frames, uint8 (T, H, W, 3) sRGB; may raise, which counts as failed."""
        ...


class Unequipped:
    """A check whose model is not installed: it stands in every record, so silence is impossible."""

    version = "0"

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.unavailable = reason

    def inspect(self, frames: FrameBatch) -> Sequence[Finding]:
        """Never called by the guard, which asks :attr:`unavailable` first."""
        raise RuntimeError(self.unavailable)


def default_frame_checks() -> tuple[FrameCheck, ...]:
    """The checks every record names, whether a model for them is at hand or not."""
    return (
        Unequipped("frames.unsafe", "no model for nudity, violence or gore is installed"),
        Unequipped("frames.likeness", "no face model is installed and nobody is enrolled"),
        Unequipped("frames.works", "no register of protected works is set up"),
    )
