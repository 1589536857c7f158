from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from guarded_sora.policies.engine import PolicyEngine
from guarded_sora.policies.errors import PolicyError
from guarded_sora.policies.finding import Action, CheckRun, CheckState, Finding, RequestContext
from guarded_sora.policies.pack import load_pack
from guarded_sora.policies.replay import (
    MAX_EXAMPLES,
    Recorded,
    as_recorded,
    compare_prompts,
    compare_records,
    judge_promotion,
    record_from_log,
)
from guarded_sora.policies.text.check import default_prompt_checks
from tests.policies.packs import GOLDEN, LEXICON, RULES, write_pack

ADULT = RequestContext(age_tier="adult", region="US")


def record(name: str, category: str = "", severity: int = 2) -> Recorded:
    findings = ()
    if category:
        findings = (Finding(category=category, severity=severity, detector="d", detector_version="1"),)
    return Recorded(name=name, findings=findings, context=ADULT)


def engines(tmp_path: Path) -> tuple[PolicyEngine, PolicyEngine]:
    """The tiny pack, and one that blocks what it rewrites only from severity 3 on."""
    before = load_pack(write_pack(tmp_path / "a"))
    rules = RULES.replace("action: rewrite", "action: block").replace(">= 2", ">= 3")
    return PolicyEngine(before), PolicyEngine(load_pack(write_pack(tmp_path / "b", rules=rules)))


def test_the_matrix_counts_every_move(tmp_path: Path) -> None:
    before, after = engines(tmp_path)
    records = [record("1"), record("2", "disturbing", 3), record("3", "disturbing", 2), record("4")]
    result = compare_records(before, after, records)
    assert result.matrix == {
        (Action.ALLOW, Action.ALLOW): 2,
        (Action.REWRITE, Action.BLOCK): 1,
        (Action.REWRITE, Action.ALLOW): 1,
    }
    assert (result.total, result.loosened, result.tightened) == (4, 1, 1)
    assert result.stopped_share(after=False) == 0.5 and result.stopped_share(after=True) == 0.25
    loosened = next(change for change in result.changes if change.after is Action.ALLOW)
    assert loosened.name == "3" and loosened.rules_before == ("no-purple",) and loosened.rules_after == ()


def test_nothing_to_compare(tmp_path: Path) -> None:
    result = compare_records(*engines(tmp_path), [])
    assert result.total == 0 and result.matrix == {} and result.stopped_share(after=True) == 0.0


def test_loosened_requests_are_listed_to_the_last_and_the_rest_are_bounded(tmp_path: Path) -> None:
    before, after = engines(tmp_path)
    many = [record(f"t{i}", "disturbing", 3) for i in range(MAX_EXAMPLES + 30)]
    many += [record(f"l{i}", "disturbing", 2) for i in range(40)]
    result = compare_records(before, after, many)
    assert result.changes_left_out == 30
    assert sum(change.name.startswith("l") for change in result.changes) == 40


def test_prompts_are_checked_by_each_packs_own_lexicon(tmp_path: Path) -> None:
    packs = [
        load_pack(write_pack(tmp_path / "a")),
        load_pack(write_pack(tmp_path / "b", lexicon=LEXICON.replace("purple{,s}", "green"))),
    ]
    sides = [(PolicyEngine(pack), default_prompt_checks(pack)) for pack in packs]
    prompts = [("1", "a purple cow"), ("2", "a green cow"), ("3", "a red cow")]
    result = compare_prompts(sides[0], sides[1], prompts, ADULT)
    assert {(c.name, c.before, c.after) for c in result.changes} == {
        ("1", Action.REWRITE, Action.ALLOW),
        ("2", Action.ALLOW, Action.REWRITE),
    }


def test_a_check_that_raises_is_reviewed_in_a_comparison_too(tmp_path: Path) -> None:
    class Broken:
        name, version = "broken", "1"

        def check(self, text: str, context: RequestContext) -> list[Finding]:
            raise RuntimeError(text)

    before, _ = engines(tmp_path)
    result = compare_prompts((before, ()), (before, (Broken(),)), [("1", "x")], ADULT)
    assert result.matrix == {(Action.ALLOW, Action.REVIEW): 1}


def test_promotion_needs_golden_prompts_few_refusals_and_signatures(tmp_path: Path) -> None:
    before, after = engines(tmp_path)
    loosened = compare_records(before, after, [record("9", "disturbing", 2)])
    refused = judge_promotion(after.pack, loosened)
    assert not refused.allowed and "sign them off" in refused.reasons[-1]
    assert judge_promotion(after.pack, loosened, signed_off=["9"]).allowed

    quiet = [record(str(i)) for i in range(1000)]
    assert judge_promotion(before.pack, compare_records(before, before, quiet)).allowed
    stricter = compare_records(after, before, [*quiet, *(record(f"x{i}", "disturbing", 2) for i in range(9))])
    assert "points more" in judge_promotion(before.pack, stricter).reasons[0]

    broken = load_pack(write_pack(tmp_path / "c", golden=GOLDEN.replace("a purple cow", "a red calf")))
    assert "golden" in judge_promotion(broken, compare_records(before, before, quiet)).reasons[0]


def log_entry() -> tuple[dict[str, Any], dict[str, Any]]:
    decision = {
        "findings": [
            {"category": "hate", "severity": 3, "score_ppm": 250_000, "calibrated": True, "modality": "video",
             "where": None, "detector": "d", "version": "2"},
            {"category": "check.failed", "severity": 2, "score_ppm": None, "modality": "prompt",
             "where": None, "detector": "faces", "version": "1"},
        ],
        "checks": [
            {"name": "faces", "version": "1", "state": "failed", "score_ppm": None, "threshold_ppm": 500_000},
        ],
    }  # fmt: skip
    return decision, {"age_tier": "adult", "region": "US", "locale": "ja", "counters": {"actor.strikes": 3}}


def test_an_entry_of_the_log_is_decided_again_as_it_was() -> None:
    recorded = record_from_log("17", *log_entry())
    assert recorded.findings[0].score == 0.25 and recorded.checks[0].threshold == 0.5
    engine = PolicyEngine(load_pack())
    decision = engine.decide(recorded.findings, recorded.context, recorded.checks)
    # As a probability 0.25 is beyond both bounds of the head's rules.
    fired = {"hate", "check-failed", "repeat-attempts", "classifier-people", "classifier-people-unsure"}
    assert {rule.id for rule in decision.rules} == fired
    assert [f.category for f in decision.findings] == ["hate", "check.failed"]
    assert as_recorded("17", decision, recorded.context).findings == recorded.findings


@pytest.mark.parametrize("breaks", ["findings", "checks"])
def test_an_entry_without_a_decision_is_refused(breaks: str) -> None:
    decision, context = log_entry()
    del decision[breaks]
    with pytest.raises(PolicyError, match="entry 3 holds no decision"):
        record_from_log("3", decision, context)
    with pytest.raises(PolicyError, match="entry 3"):
        record_from_log("3", log_entry()[0], {})
    decision = log_entry()[0]
    decision[breaks] = [{"name": 1}]
    with pytest.raises(PolicyError, match="entry 3"):
        record_from_log("3", decision, context)


def test_recorded_findings_keep_no_text() -> None:
    engine = PolicyEngine(load_pack())
    seen = Finding(category="hate", severity=3, detector="d", detector_version="1", evidence="slurs: x")
    decision = engine.decide([seen], ADULT, [CheckRun(name="d", version="1", state=CheckState.RAN)])
    recorded = as_recorded("1", decision, ADULT)
    assert recorded.findings == (replace(seen, evidence=""),)
