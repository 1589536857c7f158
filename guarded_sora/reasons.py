"""Statements of reasons: a decision in the form of the DSA transparency database.

The form is that of Regulation (EU) 2022/2065, Article 17 and 24(5), as the database's interface takes it
(version 2). Names and words of people stay out of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from guarded_sora.audit.case import Case
from guarded_sora.audit.errors import AuditError
from guarded_sora.audit.notices import statement_of_reasons
from guarded_sora.errors import UsageError
from guarded_sora.notices import PREFIX, is_notice, write_event
from guarded_sora.services import Services

REASONS = "case.reasons"
BATCH = 100
"""How many statements the database takes in one call."""

EU = (
    "AT",
    "BE",
    "BG",
    "CY",
    "CZ",
    "DE",
    "DK",
    "EE",
    "ES",
    "FI",
    "FR",
    "GR",
    "HR",
    "HU",
    "IE",
    "IT",
    "LT",
    "LU",
    "LV",
    "MT",
    "NL",
    "PL",
    "PT",
    "RO",
    "SE",
    "SI",
    "SK",
)

_REMOVED = "DECISION_VISIBILITY_CONTENT_REMOVED"
_DISABLED = "DECISION_VISIBILITY_CONTENT_DISABLED"

_CLAIMS: dict[str, tuple[str, str]] = {
    "intimate": (
        "STATEMENT_CATEGORY_CYBER_VIOLENCE",
        "Intimate imagery of a person without their consent.",
    ),
    "likeness": (
        "STATEMENT_CATEGORY_DATA_PROTECTION_AND_PRIVACY_VIOLATIONS",
        "A person is shown, or imitated, without their consent.",
    ),
    "copyright": (
        "STATEMENT_CATEGORY_INTELLECTUAL_PROPERTY_INFRINGEMENTS",
        "A work is used without a right.",
    ),
    "trademark": (
        "STATEMENT_CATEGORY_INTELLECTUAL_PROPERTY_INFRINGEMENTS",
        "A mark is used without a right.",
    ),
    "illegal": ("STATEMENT_CATEGORY_ILLEGAL_OR_HARMFUL_SPEECH", "The content was found to be illegal."),
    "child_safety": ("STATEMENT_CATEGORY_PROTECTION_OF_MINORS", "The content endangers minors."),
    "other": ("STATEMENT_CATEGORY_OTHER_VIOLATION_TC", "The content breaks the rules of this service."),
}


def reasons_for(
    services: Services, case_id: str, *, territories: Sequence[str] = EU, actor: str = "system"
) -> dict[str, Any]:
    """The statement of reasons for a decided case, recorded with it.

    Raises:
        UsageError: no such case, nothing was decided, or nothing was restricted.
        StoreError: the log did not take it.
    """
    try:
        case = services.cases.show(case_id)
        statement = state_reasons(services, case, territories)
    except AuditError as error:
        raise UsageError(str(error)) from error
    write_event(services, REASONS, case, {"statement": statement}, actor=actor)
    return statement


def state_reasons(services: Services, case: Case, territories: Sequence[str] = EU) -> dict[str, Any]:
    """The statement alone. Raises ``UsageError`` where the decision restricts nothing, else AuditError."""
    if not case.action or not case.decisions:
        raise UsageError(f"Case {case.case_id} is {case.state}; there is no decision to give reasons for.")
    if case.action != "block":
        raise UsageError(
            f"Case {case.case_id} was decided '{case.action}'; "
            "only a restriction needs a statement of reasons."
        )
    reason = case.decisions[-1].reason_code
    if is_notice(case):
        category, ground = _CLAIMS[case.kind.removeprefix(PREFIX)]
        return statement_of_reasons(
            case,
            visibility=[_REMOVED],
            category=category,
            ground=ground,
            explanation=f"{ground} A reviewer looked at the notice and at the clip. Reason code: {reason}.",
            facts=_facts(case),
            territories=territories,
            automated_detection=False,
        )
    rules = _rules(services, case)
    return statement_of_reasons(
        case,
        visibility=[_DISABLED],
        category="STATEMENT_CATEGORY_OTHER_VIOLATION_TC",
        ground=", ".join(name for name, _ in rules)[:500] or "Rules of this service",
        explanation=(" ".join(text for _, text in rules) + f" Reason code: {reason}.")[:2000].strip(),
        facts="A check of the service found it; a reviewer looked at it before it could be published.",
        territories=territories,
        automated_detection=True,
    )


def batches(statements: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Bodies as the database's interface takes them: at most ``BATCH`` statements each."""
    held: list[dict[str, Any]] = []
    for statement in statements:
        held.append(statement)
        if len(held) == BATCH:
            yield {"statements": held}
            held = []
    if held:
        yield {"statements": held}


def _facts(case: Case) -> str:
    summary = case.summary
    hours = (case.decisions[-1].ts - case.opened_ts) / 3_600_000
    return (
        f"A notice was received from: {str(summary.get('by', 'anybody')).replace('_', ' ')}. "
        f"It was decided after {hours:.1f} hours; the clock {summary.get('clock', 'none')} allowed "
        f"{summary.get('hours', 0)} hours. The clip and its known copies were taken down."
    )


def _rules(services: Services, case: Case) -> list[tuple[str, str]]:
    """Titles and texts of the rules behind a case, as the pack in force words them."""
    found: list[tuple[str, str]] = []
    for slug in case.summary.get("rules", ()):
        try:
            rule = services.policy.pack.rule(str(slug))
        except KeyError:
            found.append((str(slug), ""))
            continue
        found.append((rule.title, rule.text_for("en")))
    return found
