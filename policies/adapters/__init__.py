"""Other people's text models behind the contract of a prompt check: each from a card that names local files
with their SHA-256, or the one server that may be asked. Nothing here is loaded unless a card is given."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from guarded_sora.policies.text.check import ModelCheck

__all__ = ["load_prompt_cards"]


def load_prompt_cards(paths: Iterable[Path]) -> list[ModelCheck]:
    """The checks that the cards at ``paths`` describe.

    Raises:
        ModelInvalid: a card cannot be used.
    """
    cards = list(paths)
    if not cards:
        return []
    from guarded_sora.policies.adapters.card import load_prompt_card

    return [load_prompt_card(path) for path in cards]
