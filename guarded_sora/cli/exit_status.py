"""Exit status: the contract that scripts rely on."""

from __future__ import annotations

from collections.abc import Iterable

from guarded_sora.errors import Blocked, MediaError, ReviewRequired, UsageError
from guarded_sora.policies.finding import Action

OK = 0
REFUSED = 1
USAGE = 2
INTERNAL = 3
OPEN = 4

# Of several answers the worst counts, in this order.
_WORST_FIRST = (INTERNAL, USAGE, REFUSED, OPEN, OK)

# Errors of the log that a wrong argument causes.
_MISTAKES = frozenset({"audit.not_found", "audit.entry_invalid", "audit.conflict"})

OF_ACTION: dict[Action, int] = {
    Action.ALLOW: OK,
    Action.REWRITE: OK,
    Action.REVIEW: OPEN,
    Action.BLOCK: REFUSED,
}

_OF_VERDICT = {
    "ours_intact": OK,
    "signed_elsewhere": OK,
    "no_evidence": OK,
    "ours_altered": REFUSED,
    "tampered": REFUSED,
    "declared_synthetic": REFUSED,
    "likely_synthetic": REFUSED,
    "unreadable": REFUSED,
    "inconclusive": OPEN,
}


_AGAINST = frozenset({"stay_down", "withdrawn", "consent_withdrawn"})
"""Notices that something was decided against a film, however whole it is."""


def of_verdict(verdict: str, notices: Iterable[str] = ()) -> int:
    """0, 1 or 4 for a verdict's name and the notices beside it."""
    return REFUSED if _AGAINST.intersection(notices) else _OF_VERDICT[verdict]


def worst(statuses: Iterable[int]) -> int:
    """The worst of several: 3, then 2, then 1, then 4, then 0."""
    seen = set(statuses)
    return next((status for status in _WORST_FIRST if status in seen), OK)


def status_of(error: BaseException) -> int:
    """The exit status of an error that ends the program."""
    if isinstance(error, Blocked):
        return REFUSED
    if isinstance(error, ReviewRequired):
        return OPEN
    if isinstance(error, UsageError | MediaError) or getattr(error, "code", "") in _MISTAKES:
        return USAGE
    return INTERNAL
