"""Trusted timestamps (RFC 3161): retry, and what happens when the authority is down.

The library asks the authority itself, without a time limit. So a short question of our own goes first, and
a signer whose authority does not answer never reaches the library.
"""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from guarded_sora.errors import ProvenanceError
from guarded_sora.provenance.credentials.signer import Signer, check_address, with_timestamp

_T = TypeVar("_T")
_MAX_ANSWER = 1 << 20
_FAILURES = ("http resolver", "HTTP error", "time stamp", "timestamp", "decode error")

# TimeStampReq: version 1, SHA-256 imprint of 32 zero bytes, certificates asked for.
_PROBE = bytes.fromhex("30390201013031300d060960864801650304020105000420" + "00" * 32 + "0101ff")


class TimestampUnavailable(ProvenanceError):
    """The timestamp authority did not give a usable answer; nothing was written."""

    code = "timestamp_unavailable"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimestampPolicy:
    """``required``: without a timestamp nothing is signed; otherwise the clip is signed without one.

    ``attempts`` are made with ``pause`` seconds between the first two, doubled each time; ``timeout`` is how
    long, in seconds, the authority may take to answer at all.
    """

    required: bool = True
    attempts: int = 3
    pause: float = 0.5
    timeout: float = 5.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.pause < 0 or self.timeout <= 0:
            raise ProvenanceError("A timestamp policy needs at least one attempt and a positive timeout.")


def sign_with_timestamp(
    attempt: Callable[[Signer], _T], signer: Signer, policy: TimestampPolicy
) -> tuple[_T, bool]:
    """Call ``attempt(signer)`` until the authority answers; the result, and whether it is timestamped.

    ``attempt`` raises :class:`TimestampUnavailable` for a failure of the authority; anything else passes
    through at once. Raises :class:`TimestampUnavailable` when a timestamp is required and cannot be had.
    """
    url = signer.timestamp_url
    if url is None:
        return attempt(signer), False
    pause = policy.pause
    last = TimestampUnavailable("The timestamp authority was not asked.")
    for turn in range(policy.attempts):
        if turn:
            time.sleep(pause)
            pause *= 2
        try:
            _probe(url, policy.timeout)
            return attempt(signer), True
        except TimestampUnavailable as error:
            last = error
    if policy.required:
        raise last
    return attempt(with_timestamp(signer, None)), False


def is_authority_failure(message: str) -> bool:
    """Whether the library's error text is about the timestamp authority."""
    return "internal error" in message and any(part in message for part in _FAILURES)


def _probe(url: str, timeout: float) -> None:
    check_address(url)
    request = urllib.request.Request(  # noqa: S310  the scheme was checked above
        url, data=_PROBE, headers={"Content-Type": "application/timestamp-query"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310
            answer.read(_MAX_ANSWER)
    except (OSError, ValueError, urllib.error.URLError) as error:
        raise TimestampUnavailable(
            "The timestamp authority did not answer; try again later, or allow signing without a timestamp."
        ) from error
