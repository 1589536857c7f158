import pytest

from guarded_sora.policies.condition import (
    MAX_LENGTH,
    build_context,
    build_variables,
    compile_condition,
    sample_truth,
)
from guarded_sora.policies.errors import ConditionInvalid
from guarded_sora.policies.finding import CheckRun, CheckState, Finding, Modality, RequestContext
from guarded_sora.policies.taxonomy import CATEGORIES


def finding(category: str, severity: int = 2, **more: object) -> Finding:
    return Finding(category=category, severity=severity, detector="d", detector_version="1", **more)  # type: ignore[arg-type]


def holds(source: str, *findings: Finding, context: RequestContext | None = None) -> bool:
    return compile_condition(source).holds(build_context(findings, context or RequestContext()))


def test_missing_values_are_zero_and_never_raise() -> None:
    variables = build_variables([], RequestContext())
    for name in ("severity", "score", "count", "prompt", "image", "video"):
        assert set(variables[name]) == set(CATEGORIES)
        assert not any(variables[name].values())
    assert holds('actor["strikes"] == 0 && actor.blocks_24h == 0 && score["hate"] == 0.0')


def test_highest_severity_and_score_over_all_modalities() -> None:
    seen = (
        finding("hate", 1, score=0.4),
        finding("hate", 3, modality=Modality.VIDEO),
        finding("disturbing", 2, score=0.2, modality=Modality.IMAGE),
    )
    assert holds('severity["hate"] == 3 && prompt["hate"] == 1 && video["hate"] == 3', *seen)
    assert holds('score["hate"] == 1.0 && count["hate"] == 2', *seen)
    assert holds('image["disturbing"] == 2 && prompt["disturbing"] == 0', *seen)


def test_context_reaches_conditions() -> None:
    context = RequestContext(
        age_tier="minor", region="de", consents=("c1",), counters={"actor.blocks_24h": 7, "strikes": 2}
    )
    assert holds('age_tier == "minor" && region == "DE" && "c1" in consents', context=context)
    assert holds('actor["blocks_24h"] == 7 && actor["strikes"] == 2', context=context)
    checks = (CheckRun(name="faces", version="1", state=CheckState.UNAVAILABLE),)
    condition = compile_condition('"faces" in unavailable && size(failed) == 0')
    assert condition.holds(build_context((), context, checks))


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("", "empty"),
        ("true && " * 100 + "true", f"{MAX_LENGTH} are allowed"),
        ("severity[", "does not parse"),
        ('nonsense["hate"] > 1', "not declared"),
        ('severity["hat"] > 1', "no category 'hat'"),
        ('false && severity["hat"] > 1', "no category 'hat'"),
        ("severity.hatred > 1", "no category 'hatred'"),
        ('actor["blocks"] > 1', "no counter 'blocks'"),
        ("severity[region] > 1", "category in quotes"),
        ('severity["hate"]', "true or false"),
        ('severity["hate"] > "x"', "sample request"),
        ("prompt_text == 'a'", "not declared"),
        ("consents.all(a, consents.all(b, a == b))", "one level"),
        ("[1].map(x, [2].map(y, [3].filter(z, true))) == []", "one level"),
        ("(" * 60 + "true" + ")" * 60, "nests brackets"),
        ("!!!!!!!!!true", "repeats a sign"),
        ("region.matches('(a+)+$')", "matches"),
        ("1 / 0 == 1", "sample request"),
        ("\ud800", "does not parse"),
        ("true\x00", "does not parse"),
    ],
)
def test_bad_conditions_are_refused_with_a_reason(source: str, says: str) -> None:
    with pytest.raises(ConditionInvalid, match=says):
        compile_condition(source)


@pytest.mark.parametrize(
    "source",
    [
        "true",
        'severity["hate"] >= 2 || (region in ["EU", "DE"] && score["violence.act"] > 0.7)',
        "severity.exists(c, severity[c] >= 3)",
        'consents.all(c, c != "x") && size(consents) < 9',
        "locale == \"matches brackets [all(\" || tenant == '((((((((((((((((('",
    ],
)
def test_good_conditions_compile(source: str) -> None:
    try:
        assert isinstance(holds(source), bool)
    except ConditionInvalid as error:
        assert "matches" in source and "matches" in str(error)


def test_sample_truth_shows_rules_that_never_or_always_fire() -> None:
    assert sample_truth(compile_condition("true")) == {"nothing": True, "everything": True}
    assert sample_truth(compile_condition("false"))["everything"] is False
    assert sample_truth(compile_condition('severity["hate"] > 1')) == {"nothing": False, "everything": True}
