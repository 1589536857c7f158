"""Whose strike it is: the actor whose request a case is about."""

from __future__ import annotations

from guarded_sora.audit.case import Case
from guarded_sora.errors import UsageError
from guarded_sora.provenance.clip_id import ClipId
from guarded_sora.services import Services


def author_of(services: Services, case: Case) -> str:
    """The pseudonym of whoever asked for what ``case`` is about.

    Raises:
        UsageError: it is about no request of this installation.
    """
    intent = case.subject
    if case.kind != "prompt":
        try:
            record = services.store.by_id(ClipId.parse(case.subject))
        except UsageError:
            record = None
        intent = "" if record is None else record.intent_id
    found = services.log.search(kind="request.intent", subject=intent, limit=1) if intent else []
    if not found:
        raise UsageError(
            f"Case {case.case_id} is about no request of this installation; name the actor with --actor."
        )
    return found[0].actor
