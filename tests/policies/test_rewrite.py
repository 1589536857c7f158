from collections.abc import Sequence
from dataclasses import replace

import pytest

from guarded_sora.policies.engine import PolicyEngine
from guarded_sora.policies.finding import Action, CharacterSpan, Decision, Finding, RequestContext
from guarded_sora.policies.golden import load_golden
from guarded_sora.policies.pack import load_pack
from guarded_sora.policies.rewrite import MAX_DIFF_WORDS, rewrite_prompt, word_difference
from guarded_sora.policies.text.check import PromptCheck, default_prompt_checks, unavailable_reason

PACK = load_pack()
ADULT = RequestContext(age_tier="adult", region="US")


@pytest.fixture(scope="module")
def checks() -> tuple[PromptCheck, ...]:
    return tuple(check for check in default_prompt_checks(PACK) if not unavailable_reason(check))


@pytest.fixture(scope="module")
def words(checks: Sequence[PromptCheck]) -> tuple[PromptCheck, ...]:
    """The checks whose answers follow from the pack's own words."""
    return tuple(check for check in checks if check.name != "classifier")


def decide(checks: Sequence[PromptCheck], text: str) -> Decision:
    findings = [finding for check in checks for finding in check.check(text, ADULT)]
    return PolicyEngine(PACK).decide(findings, ADULT)


@pytest.mark.parametrize(
    ("text", "safer"),
    [
        ("A nude woman on a sofa", "A clothed woman on a sofa"),
        ("a woman, naked, in the rain", "a woman, clothed, in the rain"),
        ("an erotic dance at night", "a romantic dance at night"),
        ("a wounded soldier at dawn", "a tired soldier at dawn"),
        ("全裸で海に走る男性", "服を着た姿で海に走る男性"),
    ],
)
def test_only_the_words_pointed_at_change(checks: Sequence[PromptCheck], text: str, safer: str) -> None:
    result = rewrite_prompt(PACK, text, decide(checks, text))
    assert result is not None and result.text == safer and result.original == text
    assert "".join(change.before for change in result.changes) == text
    assert "".join(change.after for change in result.changes) == safer
    assert any(change.kind == "changed" for change in result.changes)


def rewritten(checks: Sequence[PromptCheck]) -> dict[str, Action]:
    """What is decided on the safer wordings of the golden prompts that get one."""
    again: dict[str, Action] = {}
    for prompt in load_golden(PACK):
        if prompt.kind != "fire" or prompt.expect is not Action.REWRITE or prompt.findings:
            continue
        decision = decide(checks, prompt.text)
        if decision.action is Action.REWRITE:
            result = rewrite_prompt(PACK, prompt.text, decision)
            assert result is not None, prompt.text
            again[result.text] = decide(checks, result.text).action
    return again


def test_every_safer_wording_of_a_golden_prompt_is_allowed(
    words: Sequence[PromptCheck],
) -> None:
    again = rewritten(words)
    assert len(again) >= 10 and set(again.values()) == {Action.ALLOW}


def test_the_trained_head_lets_the_safer_wording_pass(checks: Sequence[PromptCheck]) -> None:
    if "classifier" not in {check.name for check in checks}:
        pytest.skip("needs the text encoder of the extra [prompts]")
    again = rewritten(checks)
    assert sum(action is Action.ALLOW for action in again.values()) >= 0.9 * len(again)


def test_a_score_gives_way_to_a_rewrite_and_to_nothing_else() -> None:
    engine = PolicyEngine(PACK)
    score = Finding(
        category="sexual.explicit",
        severity=0,
        score=0.9,
        calibrated=True,
        detector="d",
        detector_version="1",
    )
    nude = Finding(
        category="sexual.suggestive",
        severity=2,
        detector="d",
        detector_version="1",
        where=CharacterSpan(start=2, end=6),
    )
    assert engine.decide([score], ADULT).action is Action.BLOCK
    both = engine.decide([score, nude], ADULT)
    assert both.action is Action.REWRITE
    result = rewrite_prompt(PACK, "a nude woman", both)
    assert result is not None and result.text == "a clothed woman"
    assert engine.decide([score], ADULT).action is Action.BLOCK, "the safer wording has to pass the score too"
    gore = Finding(category="violence.graphic", severity=3, detector="d", detector_version="1")
    assert engine.decide([score, nude, gore], ADULT).action is Action.BLOCK
    minor = replace(ADULT, age_tier="minor")
    assert engine.decide([score, nude], minor).action is Action.BLOCK, "an overlay made the rewrite a block"


def test_nothing_is_offered_where_something_would_stay(checks: Sequence[PromptCheck]) -> None:
    decision = decide(checks, "a nude woman")
    assert rewrite_prompt(PACK, "a red kite", decide(checks, "a red kite")) is None
    assert rewrite_prompt(PACK, "a porn film", decide(checks, "a porn film")) is None
    nowhere = tuple(replace(finding, where=None) for finding in decision.findings)
    assert rewrite_prompt(PACK, "a nude woman", replace(decision, findings=nowhere)) is None
    assert rewrite_prompt(PACK, "a nude woman", replace(decision, findings=())) is None
    wordless = replace(PACK, wordings={})
    assert rewrite_prompt(wordless, "a nude woman", decision) is None


def test_a_decision_on_another_text_does_no_harm(checks: Sequence[PromptCheck]) -> None:
    far = Finding(
        category="sexual.suggestive",
        severity=2,
        detector="d",
        detector_version="1",
        where=CharacterSpan(start=900, end=990),
    )
    decision = replace(decide(checks, "a nude woman"), findings=(far,))
    result = rewrite_prompt(PACK, "short", decision)
    assert result is None or "short" in result.text


def test_long_texts_are_not_compared_word_by_word() -> None:
    before, after = "a " * (MAX_DIFF_WORDS + 1), "b " * (MAX_DIFF_WORDS + 1)
    assert len(word_difference(before, after)) == 1
    assert [c.kind for c in word_difference("a b c", "a x c")] == ["same", "changed", "same"]
    assert word_difference("", "") == ()
