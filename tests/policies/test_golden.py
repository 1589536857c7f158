from pathlib import Path

import pytest

from guarded_sora.policies.errors import PackInvalid
from guarded_sora.policies.golden import load_golden, run_golden
from guarded_sora.policies.pack import load_pack
from tests.policies.packs import GOLDEN, write_pack


def test_the_shipped_pack_passes_all_its_golden_prompts() -> None:
    results = run_golden(load_pack())
    assert [f"{r.prompt.rule}: {r.prompt.text}: {r.problem}" for r in results if not r.passed] == []
    assert len({result.prompt.rule for result in results}) >= 12


def test_every_rule_in_force_has_five_of_each(tmp_path: Path) -> None:
    prompts = load_golden(load_pack(write_pack(tmp_path)))
    assert sorted({prompt.kind for prompt in prompts}) == ["fire", "pass"] and len(prompts) == 10
    with pytest.raises(PackInvalid, match="has 4 golden prompts to fire"):
        load_golden(load_pack(write_pack(tmp_path / "x", golden=GOLDEN.replace("purple rain, ", ""))))
    with pytest.raises(PackInvalid, match="has 0 golden prompts"):
        load_golden(load_pack(write_pack(tmp_path / "y", golden=None)))
    with pytest.raises(PackInvalid, match="no rule of the pack"):
        load_golden(load_pack(write_pack(tmp_path / "z", golden=GOLDEN.replace("no-purple", "other"))))


def test_failures_say_what_went_wrong(tmp_path: Path) -> None:
    wrong = GOLDEN.replace("a purple cow", "a red calf").replace("blue rain", "a purple calf")
    failed = [r for r in run_golden(load_pack(write_pack(tmp_path, golden=wrong))) if not r.passed]
    assert [(r.prompt.text, r.problem) for r in failed] == [
        ("a red calf", "the rule did not fire"),
        ("a purple calf", "the rule fired"),
    ]
    strict = GOLDEN.replace("no-purple:", "no-purple:\n    expect: block")
    problems = {r.problem for r in run_golden(load_pack(write_pack(tmp_path / "s", golden=strict)))}
    assert problems == {"", "the action is rewrite, not block"}
