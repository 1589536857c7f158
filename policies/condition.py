"""Conditions of rules: CEL, compiled once, refused at load when they could hang or cannot run.

CEL has no cost limit of its own, finds an unknown variable only while it runs, and raises on a
missing map key. So a condition is bounded before it is compiled (length, nesting), every map key
it names is looked up in the taxonomy, and it is then run on complete sample contexts, from
nothing found to everything found. No condition ever sees the prompt's text.

Source: the Common Expression Language specification, as ``common-expression-language`` runs it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from guarded_sora.policies.errors import ConditionInvalid
from guarded_sora.policies.finding import CheckRun, CheckState, Finding, Modality, RequestContext
from guarded_sora.policies.taxonomy import CATEGORIES

MAX_LENGTH: Final = 512
MAX_BRACKETS: Final = 12
MAX_OPERATOR_RUN: Final = 4
COUNTERS: Final = ("blocks_24h", "reviews_24h", "requests_24h", "strikes", "appeals_won")
"""Counters of the actor that conditions may name as ``actor.blocks_24h``; missing ones are 0."""

CATEGORY_MAPS: Final = ("severity", "score", "probability", "count", "prompt", "image", "video")
"""Variables that map every category id to a number: the highest severity (0-3) over all modalities,
the highest score (0-1), the highest score that is a calibrated probability, the number of findings,
and the highest severity in one modality."""

VARIABLES: Final = (
    *CATEGORY_MAPS,
    "actor",
    "age_tier",
    "region",
    "locale",
    "tenant",
    "consents",
    "failed",
    "unavailable",
)

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'')
_MACRO = re.compile(r"\.\s*(?:all|exists|exists_one|existsOne|map|filter)\s*\(\s*([A-Za-z_]\w*)?")
_MAPS = rf"\b({'|'.join(CATEGORY_MAPS)}|actor)\s*"
_INDEX = re.compile(_MAPS + r"\[\s*([^\]]*?)\s*\]")
_LITERAL = re.compile(r'"([a-z0-9_.]+)"|\'([a-z0-9_.]+)\'')
_FIELD = re.compile(
    r"\b(severity|score|probability|count|prompt|image|video|actor)\s*\.\s*([A-Za-z_]\w*)(?!\s*\(|\w)"
)
_OPERATOR_RUN = re.compile(rf"(?:[!\-]\s*){{{MAX_OPERATOR_RUN + 1},}}")


def category_score(finding: Finding) -> float:
    """The finding's score; a detector that only says yes counts as 1."""
    if finding.score is not None:
        return finding.score
    return 1.0 if finding.severity else 0.0


def build_variables(
    findings: Sequence[Finding], context: RequestContext, checks: Sequence[CheckRun] = ()
) -> dict[str, Any]:
    """Every declared variable, filled: a category nobody reported is 0, never missing.

    Findings whose category is not in the taxonomy are left out; the engine turns those into
    ``check.failed`` before it comes here.
    """
    severity = dict.fromkeys(CATEGORIES, 0)
    score = dict.fromkeys(CATEGORIES, 0.0)
    probability = dict.fromkeys(CATEGORIES, 0.0)
    count = dict.fromkeys(CATEGORIES, 0)
    seen: dict[Modality, dict[str, int]] = {m: dict.fromkeys(CATEGORIES, 0) for m in Modality}
    for finding in findings:
        category = finding.category
        if category not in severity:
            continue
        severity[category] = max(severity[category], finding.severity)
        score[category] = max(score[category], category_score(finding))
        if finding.calibrated and finding.score is not None:
            probability[category] = max(probability[category], finding.score)
        count[category] += 1
        per_modality = seen[finding.modality]
        per_modality[category] = max(per_modality[category], finding.severity)
    actor = dict.fromkeys(COUNTERS, 0)
    for name, value in context.counters.items():
        actor[name.removeprefix("actor.")] = int(value)
    return {
        "severity": severity,
        "score": score,
        "probability": probability,
        "count": count,
        "prompt": seen[Modality.PROMPT],
        "image": seen[Modality.IMAGE],
        "video": seen[Modality.VIDEO],
        "actor": actor,
        "age_tier": context.age_tier,
        "region": context.region.upper(),
        "locale": context.locale,
        "tenant": context.tenant,
        "consents": list(context.consents),
        "failed": [check.name for check in checks if check.state is CheckState.FAILED],
        "unavailable": [check.name for check in checks if check.state is CheckState.UNAVAILABLE],
    }


def build_context(
    findings: Sequence[Finding], context: RequestContext, checks: Sequence[CheckRun] = ()
) -> Any:
    """One CEL context for all conditions of a request (25 times cheaper than one per condition)."""
    import cel

    return cel.Context(variables=build_variables(findings, context, checks))


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A compiled condition. Make it with :func:`compile_condition`."""

    source: str
    program: Any

    def holds(self, cel_context: Any) -> bool:
        """Whether it is true in a context of :func:`build_context`.

        Raises whatever CEL raises, and ``TypeError`` for a value that is neither true nor false:
        the engine answers any of them with review.
        """
        result = self.program.execute(cel_context)
        if not isinstance(result, bool):
            raise TypeError(f"a condition must be true or false, not {type(result).__name__}")
        return result


def compile_condition(source: str) -> Condition:
    """Lint and compile ``source``. Raises :class:`ConditionInvalid` with the first thing wrong."""
    _lint(source)
    import cel

    try:
        program = cel.compile(source)
    except Exception as error:
        raise ConditionInvalid(f"The condition does not parse; correct it: {_first_line(error)}") from error
    unknown = sorted(set(program.variables()) - set(VARIABLES) - _macro_variables(source))
    if unknown:
        raise ConditionInvalid(
            f"The condition names {', '.join(unknown)}, which is not declared; use {', '.join(VARIABLES)}."
        )
    condition = Condition(source=source, program=program)
    for sample in _sample_contexts():
        try:
            condition.holds(sample)
        except Exception as error:
            raise ConditionInvalid(
                f"The condition fails on a sample request; correct it: {_first_line(error)}"
            ) from error
    return condition


def _lint(source: str) -> None:
    if not source.strip():
        raise ConditionInvalid("The condition is empty; write true for a rule that always fires.")
    if len(source) > MAX_LENGTH:
        raise ConditionInvalid(
            f"The condition has {len(source)} characters; split it, {MAX_LENGTH} are allowed."
        )
    bare = _STRING.sub(lambda match: '"' + "_" * (len(match[0]) - 2) + '"', source)
    depth = macro_depth = deepest = 0
    opens_macro = {bare.index("(", match.start()) for match in _MACRO.finditer(bare)}
    stack: list[bool] = []
    for position, char in enumerate(bare):
        if char in "([{":
            stack.append(position in opens_macro)
            depth = max(depth, len(stack))
            macro_depth += stack[-1]
            deepest = max(deepest, macro_depth)
        elif char in ")]}" and stack:
            macro_depth -= stack.pop()
    if deepest > 1:
        raise ConditionInvalid("The condition nests all, exists, map or filter; one level is allowed.")
    if depth > MAX_BRACKETS:
        raise ConditionInvalid(f"The condition nests brackets {depth} deep; {MAX_BRACKETS} are allowed.")
    if _OPERATOR_RUN.search(bare):
        raise ConditionInvalid("The condition repeats a sign or a negation; write it once.")
    if "matches" in bare:
        raise ConditionInvalid("The condition uses matches(); compare with == or in instead.")
    _lint_keys(source, bare)


def _lint_keys(source: str, bare: str) -> None:
    loop_variables = _macro_variables(source)
    for match in _INDEX.finditer(source):
        name, key = match[1], match[2]
        literal = _LITERAL.fullmatch(key)
        if literal is None:
            if key not in loop_variables:
                raise ConditionInvalid(f"{name}[...] needs a category in quotes, not {key!r}.")
            continue
        _check_key(name, literal[1] or literal[2])
    for match in _FIELD.finditer(bare):
        _check_key(match[1], match[2])


def _check_key(name: str, key: str) -> None:
    known = COUNTERS if name == "actor" else CATEGORIES
    if key not in known:
        what = "counter" if name == "actor" else "category"
        raise ConditionInvalid(f"{name} has no {what} {key!r}; see the {what} list in docs/policy-packs.md.")


def _macro_variables(source: str) -> set[str]:
    return {name for name in _MACRO.findall(source) if name}


def _sample_contexts() -> tuple[Any, ...]:
    """Nothing found, then everything found at severity 3, 2 and 1."""
    if not _SAMPLES:
        _SAMPLES.append(build_context([], RequestContext()))
        _SAMPLES.extend(_everything(severity) for severity in (3, 2, 1))
    return tuple(_SAMPLES)


def _everything(severity: int) -> Any:
    findings = [
        Finding(
            category=category,
            severity=severity,
            score=severity / 3,
            calibrated=True,
            modality=modality,
            detector="sample",
            detector_version="1",
        )
        for category in CATEGORIES
        for modality in Modality
    ]
    busy = RequestContext(
        age_tier="adult",
        region="US",
        consents=("sample",),
        counters={f"actor.{name}": 100 for name in COUNTERS},
    )
    return build_context(findings, busy)


_SAMPLES: list[Any] = []


def sample_truth(condition: Condition) -> Mapping[str, bool]:
    """Whether the condition holds when nothing was found, and when everything was, at any severity."""
    nothing, *everything = _sample_contexts()
    return {
        "nothing": condition.holds(nothing),
        "everything": any(condition.holds(sample) for sample in everything),
    }


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0][:200] if text else type(error).__name__
