"""What the log knows of one actor, as the counters that policies may ask for."""

from __future__ import annotations

from guarded_sora.audit.cases import CaseBook
from guarded_sora.audit.log import AuditLog

DAY_MS = 24 * 3600 * 1000


def actor_counters(log: AuditLog, cases: CaseBook, actor: str, *, now: int) -> dict[str, int]:
    """Counters of the pseudonym ``actor`` at ``now`` (milliseconds), as conditions name them.

    The last 24 hours of blocks, reviews and requests; strikes that stand; appeals that overturned a
    decision. Raises ``AuditError`` when the log cannot be read.
    """
    since = now - DAY_MS
    recent = {
        "blocks_24h": "request.blocked",
        "reviews_24h": "request.held",
        "requests_24h": "request.intent",
    }
    counters = {name: log.count(kind, actor=actor, since=since) for name, kind in recent.items()}
    counters |= {"strikes": cases.strikes(actor), "appeals_won": cases.appeals_won(actor)}
    return {f"actor.{name}": value for name, value in counters.items()}
