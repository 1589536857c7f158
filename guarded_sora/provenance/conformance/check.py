"""Run the laws asked for over the facts of one file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

from guarded_sora.errors import UsageError
from guarded_sora.provenance.conformance import cn, eu, in_, kr, us_ca
from guarded_sora.provenance.conformance.clause import Clause, ClauseState, Law
from guarded_sora.provenance.conformance.facts import Facts

LAWS: dict[str, Law] = {law.id: law for law in (eu.LAW, us_ca.LAW, cn.LAW, in_.LAW, kr.LAW)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClauseResult:
    """A clause and what was found for it on one day."""

    clause: Clause
    state: ClauseState
    evidence: str

    def as_json(self) -> dict[str, Any]:
        """What ``--json`` prints under ``rules``."""
        clause = self.clause
        return {
            "state": self.state.value,
            "evidence": self.evidence,
            "title": clause.title,
            "level": clause.level,
            "since": clause.since.isoformat(),
            "until": clause.until.isoformat() if clause.until else None,
            "source": clause.source,
            "text_status": clause.text_status,
        }


def check(laws: Iterable[str], facts: Facts, *, on: date | None = None) -> dict[str, dict[str, ClauseResult]]:
    """Every clause of ``laws`` (ids as in profiles) for ``facts`` on the day ``on`` (default: today).

    Raises ``UsageError`` for a law that is not known.
    """
    day = on or date.today()
    results: dict[str, dict[str, ClauseResult]] = {}
    for name in laws:
        law = LAWS.get(name)
        if law is None:
            raise UsageError(f"There are no rules {name[:40]!r}; use some of: {', '.join(LAWS)}.")
        results[name] = {}
        for clause in law.clauses:
            found = clause.find(facts, day)
            if _in_grace(name, clause, facts, day):
                state, evidence = ClauseState.NOT_APPLICABLE, f"grace until {eu.GRACE_ENDS.isoformat()}"
            else:
                state, evidence = found.state, found.evidence
            results[name][clause.id] = ClauseResult(clause=clause, state=state, evidence=evidence)
    return results


def any_failed(results: dict[str, dict[str, ClauseResult]]) -> bool:
    """Whether any clause failed: the exit status of ``verify --rules``."""
    return any(item.state is ClauseState.FAIL for law in results.values() for item in law.values())


def _in_grace(law: str, clause: Clause, facts: Facts, day: date) -> bool:
    """AI Act Art. 111(4): systems on the market before 2 August 2026 have time for 50(2), not for 50(4)."""
    placed = facts.operator.placed
    return (
        law == "eu"
        and clause.id.startswith("E")
        and placed is not None
        and placed < eu.APPLIES
        and eu.APPLIES <= day < eu.GRACE_ENDS
    )
