"""How long work tells how far it is."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told about stages and about steps inside one."""

    def stage(self, name: str) -> None:
        """A stage begins."""
        ...

    def step(self, done: int, total: int | None) -> None:
        """``done`` of ``total`` (None: unknown) of the stage under way."""
        ...


class Silent:
    """Nobody is looking."""

    def stage(self, name: str) -> None:
        """Say nothing."""

    def step(self, done: int, total: int | None) -> None:
        """Say nothing."""
