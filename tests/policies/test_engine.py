import random
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from guarded_sora.policies.condition import Condition
from guarded_sora.policies.engine import PolicyEngine
from guarded_sora.policies.errors import PackInvalid
from guarded_sora.policies.finding import Action, CheckRun, CheckState, Finding, Modality, RequestContext
from guarded_sora.policies.pack import Pack, load_pack
from tests.policies.packs import PACK, write_pack

ADULT = RequestContext(age_tier="adult", region="US")


@pytest.fixture(scope="module")
def engine() -> PolicyEngine:
    return PolicyEngine(load_pack())


def finding(category: str, severity: int = 3, modality: Modality = Modality.PROMPT) -> Finding:
    return Finding(
        category=category, severity=severity, detector="d", detector_version="1", modality=modality
    )


def check(name: str, state: CheckState) -> CheckRun:
    return CheckRun(name=name, version="1", state=state)


class Exploding:
    """A program that raises, as CEL does on a key it does not know."""

    def execute(self, context: Any) -> bool:
        raise KeyError("boom")


class Confused:
    def execute(self, context: Any) -> int:
        return 1


def with_program(pack: Pack, program: Any) -> Pack:
    rule = replace(pack.rules[0], condition=Condition(source="x", program=program))
    return replace(pack, rules=(rule, *pack.rules[1:]))


def test_nothing_found_is_allowed(engine: PolicyEngine) -> None:
    decision = engine.decide([], ADULT)
    assert decision.action is Action.ALLOW and decision.rules == () and decision.obligations == frozenset()
    assert decision.pack == load_pack().reference


def test_the_strictest_action_wins_and_obligations_unite(engine: PolicyEngine) -> None:
    seen = [
        finding("sexual.suggestive", 2),
        finding("disturbing"),
        finding("self_harm"),
        finding("sexual.minors"),
    ]
    for seed in range(20):
        random.Random(seed).shuffle(seen)
        decision = engine.decide(seen, replace(ADULT, region="FR"))
        assert decision.action is Action.BLOCK
        assert decision.obligations == {"report", "offer_help", "label:eu"}
        assert [rule.action.strictness for rule in decision.rules] == sorted(
            (rule.action.strictness for rule in decision.rules), reverse=True
        )


def test_modalities_are_judged_together(engine: PolicyEngine) -> None:
    alone = engine.decide([finding("likeness.minor", 1, Modality.IMAGE)], ADULT)
    joint = engine.decide(
        [finding("likeness.minor", 1, Modality.IMAGE), finding("sexual.suggestive", 2)], ADULT
    )
    assert alone.action is not Action.BLOCK and joint.action is Action.BLOCK
    assert "sexual-minor-joint" in {rule.id for rule in joint.rules}


def test_a_failed_check_is_reviewed_and_an_unavailable_one_allowed(engine: PolicyEngine) -> None:
    failed = engine.decide([], ADULT, [check("faces", CheckState.FAILED)])
    assert failed.action is Action.REVIEW
    assert [f.category for f in failed.findings] == ["check.failed"] and failed.findings[
        0
    ].detector == "faces"
    missing = engine.decide([], ADULT, [check("faces", CheckState.UNAVAILABLE)])
    assert missing.action is Action.ALLOW and missing.checks[0].state is CheckState.UNAVAILABLE


def test_a_pack_without_a_rule_for_failed_checks_still_reviews(tmp_path: Path) -> None:
    engine = PolicyEngine(load_pack(write_pack(tmp_path)))
    decision = engine.decide([], replace(ADULT, locale="ja"), [check("faces", CheckState.FAILED)])
    assert decision.action is Action.REVIEW
    assert decision.rules[0].reason == "check.failed" and "確認" in decision.rules[0].text


def test_optional_and_unavailable_checks_follow_the_pack(tmp_path: Path) -> None:
    settings = "checks: {unavailable: allow, unavailable_by_name: {faces: block}, optional: [extra]}\n"
    engine = PolicyEngine(load_pack(write_pack(tmp_path, pack=PACK + settings)))
    assert engine.decide([], ADULT, [check("extra", CheckState.FAILED)]).action is Action.ALLOW
    assert engine.decide([], ADULT, [check("other", CheckState.UNAVAILABLE)]).action is Action.ALLOW
    blocked = engine.decide([], ADULT, [check("faces", CheckState.UNAVAILABLE)])
    assert blocked.action is Action.BLOCK and blocked.rules[0].reason == "check.unavailable"


@pytest.mark.parametrize("program", [Exploding(), Confused()])
def test_a_condition_that_cannot_be_evaluated_is_reviewed(program: Any) -> None:
    decision = PolicyEngine(with_program(load_pack(), program)).decide([], ADULT)
    assert decision.action is Action.REVIEW
    assert decision.rules[0].reason == "policy.condition_failed"
    assert decision.rules[0].id == load_pack().rules[0].slug


def test_a_finding_nobody_can_rule_on_is_reviewed(engine: PolicyEngine) -> None:
    decision = engine.decide([finding("no.such.category", 1)], ADULT)
    assert decision.action is Action.REVIEW
    assert {f.category for f in decision.findings} == {"no.such.category", "check.failed"}


def test_counters_that_are_no_numbers_are_reviewed(engine: PolicyEngine) -> None:
    broken: Any = MappingProxyType({"actor.strikes": "many"})
    assert engine.decide([], replace(ADULT, counters=broken)).action is Action.REVIEW


def test_deprecated_rules_do_not_run(tmp_path: Path) -> None:
    assert PolicyEngine(load_pack(write_pack(tmp_path))).decide([], ADULT).action is Action.ALLOW


def test_overlays_tighten_action_condition_and_obligations(tmp_path: Path) -> None:
    engine = PolicyEngine(load_pack(write_pack(tmp_path)))
    strong, weak = [finding("disturbing", 2)], [finding("disturbing", 1)]
    adult = engine.decide(strong, ADULT)
    assert adult.action is Action.REWRITE and adult.obligations == {"note"}
    for tier in ("minor", "unknown"):
        young = engine.decide(strong, replace(ADULT, age_tier=tier))
        assert young.action is Action.BLOCK and young.obligations == {"note", "guardian"}
        assert engine.decide(weak, replace(ADULT, age_tier=tier)).action is Action.BLOCK
    assert engine.decide(weak, ADULT).action is Action.ALLOW


def test_overlays_can_be_chosen_and_must_exist(tmp_path: Path) -> None:
    pack = load_pack(write_pack(tmp_path))
    off = PolicyEngine(pack, overlays=())
    minor = replace(ADULT, age_tier="minor")
    assert off.decide([finding("disturbing", 2)], minor).action is Action.REWRITE
    with pytest.raises(PackInvalid, match="no overlay 'old'; it has young"):
        PolicyEngine(pack, overlays=("old",))


def test_no_overlay_of_the_shipped_pack_ever_loosens(engine: PolicyEngine) -> None:
    from guarded_sora.policies.taxonomy import CATEGORIES

    pack = load_pack()
    bare, full = PolicyEngine(pack, overlays=()), PolicyEngine(pack, overlays=pack.overlays)
    draw = random.Random(7)
    for _ in range(150):
        seen = [
            finding(draw.choice(list(CATEGORIES)), draw.randint(0, 3), draw.choice(list(Modality)))
            for _ in range(draw.randint(0, 4))
        ]
        context = RequestContext(
            age_tier=draw.choice(["minor", "adult", "unknown"]),
            region=draw.choice(["", "US", "DE", "JP", "CN"]),
        )
        plain, strict = bare.decide(seen, context), full.decide(seen, context)
        assert strict.action.strictness >= plain.action.strictness
        assert strict.obligations >= plain.obligations


def test_shadow_is_stored_and_has_no_effect(engine: PolicyEngine, tmp_path: Path) -> None:
    candidate = PolicyEngine(load_pack(write_pack(tmp_path)))
    decision = engine.decide([finding("hate")], ADULT, shadow=candidate)
    assert decision.action is Action.BLOCK
    assert decision.shadow is not None and decision.shadow.action is Action.ALLOW
    assert decision.shadow.pack.id == "tiny"
    assert replace(decision, shadow=None) == engine.decide([finding("hate")], ADULT)


def test_a_broken_shadow_changes_nothing(engine: PolicyEngine) -> None:
    class Broken(PolicyEngine):
        def decide(self, *args: Any, **kwargs: Any) -> Any:
            raise RuntimeError("candidate is broken")

    decision = engine.decide([], ADULT, shadow=Broken(load_pack()))
    assert decision.action is Action.ALLOW and decision.shadow is None
