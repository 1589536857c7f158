from pathlib import Path

import pytest

from guarded_sora.policies.lint import lint_pack
from guarded_sora.policies.pack import load_pack
from tests.policies.packs import COMBINATIONS, LEXICON, OVERLAY, RULES, write_pack

REWRITES = "rewrites: [{category: disturbing, default: pink}]\n"


def messages(folder: Path, **changes: str | None) -> str:
    pack = write_pack(folder, **changes)
    (pack / "rewrites.yaml").write_text(REWRITES)
    return "\n".join(f"{p.level} {p.where} {p.message}" for p in lint_pack(load_pack(pack)))


def test_the_shipped_pack_is_clean() -> None:
    assert [problem for problem in lint_pack(load_pack()) if problem.level == "error"] == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"rules": RULES.replace(">= 2", ">= 4")}, "error rules/a.yaml: no-purple can never fire"),
        ({"rules": RULES.replace(">= 2", ">= 0")}, "asks for rewrite when nothing was found"),
        ({"rules": RULES.replace("category: disturbing", "category: hate")}, "no words for hate"),
        (
            {"rules": RULES.replace("action: rewrite\n    obligations: [note]", "action: allow")},
            "does nothing",
        ),
        (
            {"rules": RULES.replace("action: rewrite", "action: rewrite\n    yields: true")},
            "yields, but rewrite stands in nothing's way",
        ),
        ({"rules": RULES.replace("ja: 紫は不可。, ", "")}, "no-purple has no text in Japanese"),
        (
            {"lexicon": LEXICON + "[lonely] role=group\nx\n"},
            "error lonely is a group that no combination uses",
        ),
        ({"lexicon": LEXICON + "purple\n"}, "error colours 'purple' is exempt"),
        ({"lexicon": LEXICON + "[more] category=disturbing severity=1\nPURPLE\n"}, "stands in colours too"),
        ({"golden": None}, "error golden prompts"),
        (
            {"overlay": OVERLAY.replace("action: block", "action: rewrite").split("    also_when")[0]},
            "warning overlays/young no-purple is not made any stricter",
        ),
    ],
)
def test_each_problem_is_found(tmp_path: Path, changes: dict[str, str | None], says: str) -> None:
    assert says not in messages(tmp_path / "good")
    assert says in messages(tmp_path / "bad", **changes)


def test_conditions_on_who_asks_are_not_called_unreachable(tmp_path: Path) -> None:
    rules = RULES.replace('severity["disturbing"] >= 2', '\'severity["disturbing"] >= 2 && region == "JP"\'')
    assert "can never fire" not in messages(tmp_path, rules=rules)


def test_groups_used_only_to_cancel_are_used(tmp_path: Path) -> None:
    lexicon = LEXICON + "[other] role=group\nx\n[calm] role=group\ny\n"
    combinations = COMBINATIONS.replace("[[colours], [fine]]", "[[colours], [other]]\n    unless: [calm]")
    assert "no combination uses" not in messages(tmp_path, lexicon=lexicon, combinations=combinations)
