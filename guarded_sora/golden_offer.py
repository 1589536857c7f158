"""An appeal that overturned a decision is a mistake of the rules: offer it as a golden test."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson
import yaml

from guarded_sora.audit.case import CLOSED, Case
from guarded_sora.audit.errors import AuditError
from guarded_sora.errors import UsageError
from guarded_sora.policies.finding import Action
from guarded_sora.provenance.clip_id import ClipId
from guarded_sora.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenOffer:
    """``rules``: each rule that decided, with the file its golden prompts stand in. ``text``: YAML to add."""

    rules: tuple[tuple[str, str], ...]
    text: str = field(repr=False)


def offer_golden(services: Services, case_id: str) -> GoldenOffer:
    """The golden prompts that would have prevented a decision an appeal overturned.

    A block that was overturned becomes a ``pass`` of every rule that fired; an allow, a ``fire``.

    Raises:
        UsageError: no such case, it was not overturned, or its words were erased.
    """
    try:
        case = services.cases.show(case_id)
    except AuditError as error:
        raise UsageError(str(error)) from error
    if case.state != CLOSED or case.appeal_outcome != "overturn":
        raise UsageError(f"Case {case_id} was not overturned by an appeal; there is no mistake to test for.")
    words = _words(services, case)
    kind = "pass" if case.action == "allow" else "fire"
    files: dict[str, str] = {}
    for slug in case.summary.get("rules", ()):
        try:
            rule = services.policy.pack.rule(str(slug))
        except KeyError:
            continue  # the rule is gone, and its mistake with it
        if rule.action is Action.ALLOW:
            continue  # it only asked for a label
        files[rule.slug] = rule.file.removesuffix(".yaml") + ".golden.yaml"
    if not files:
        raise UsageError(f"Case {case_id} rests on no rule of the pack in force; there is nothing to test.")
    document: dict[str, Any] = {"golden": {slug: {kind: [words]} for slug in files}}
    text = yaml.safe_dump(document, allow_unicode=True, sort_keys=False, width=1000)
    return GoldenOffer(rules=tuple(files.items()), text=text)


def _words(services: Services, case: Case) -> str:
    """The prompt of what was decided, from its case or from its intent."""
    text = ""
    if case.kind == "prompt":
        data = services.cases.payload(case.case_id)
        text = str(orjson.loads(data)["request"]["prompt"]) if data else ""
    elif case.kind == "film":
        record = services.store.by_id(ClipId.parse(case.subject))
        intents = services.log.search(
            kind="request.intent", subject=record.intent_id if record else "-", limit=1
        )
        data = services.log.payload(intents[0].seq) if intents else None
        text = data.decode("utf-8", "replace") if data else ""
    if not text:
        raise UsageError(f"The words of case {case.case_id} are gone; nothing can be tested with them.")
    return text
