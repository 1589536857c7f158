import json
from pathlib import Path

import pytest

from benchmarks.policy import TEST_PROMPTS, Ours, main, own_pairs, share
from benchmarks.policy_attacks import ATTACKS, CARRIERS, SEEDS
from benchmarks.policy_peers import PlainList
from benchmarks.policy_points import Item, Seen, macro_row, point_rows, wilson
from guarded_sora.policies.finding import Action
from guarded_sora.policies.pack import load_pack
from guarded_sora.policies.taxonomy import CATEGORIES


@pytest.fixture(scope="module")
def ours() -> Ours:
    return Ours(load_pack())


def test_own_prompts_are_well_formed_and_distinct() -> None:
    pairs = [*own_pairs(), *own_pairs(TEST_PROMPTS)]
    assert len(pairs) >= 200
    for pair in pairs:
        assert pair.category in CATEGORIES and pair.unsafe.strip() and pair.benign.strip()
    texts = [text for pair in pairs for text in (pair.unsafe, pair.benign)]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_family_is_covered(ours: Ours, name: str) -> None:
    texts = [CARRIERS[0].format(ATTACKS[name](seed)) for seed in SEEDS]
    assert texts != [CARRIERS[0].format(seed) for seed in SEEDS]
    assert share(ours.stops, texts) >= 0.95


def test_benign_twins_pass_and_most_unsafe_prompts_are_stopped(ours: Ours) -> None:
    pairs = own_pairs()
    assert [pair.benign for pair in pairs if ours.see(pair.benign).words] == []
    assert share(lambda text: ours.see(text).words, [pair.unsafe for pair in pairs]) >= 0.9


def test_the_trained_head_stops_few_benign_twins(ours: Ours) -> None:
    """One in ten is what its card measures on prompts made to differ by a word; without the head, none."""
    pairs = own_pairs()
    assert share(ours.stops, [pair.benign for pair in pairs]) <= 0.1
    assert share(ours.stops, [pair.unsafe for pair in pairs]) >= 0.9


def test_the_peer_is_a_fair_word_list() -> None:
    plain = PlainList(load_pack())
    assert plain.stops("A BEHEADING, at dawn") and plain.stops("a severed head")
    assert not plain.stops("b e h e a d i n g") and not plain.stops("")


def test_a_missing_folder_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--data", str(tmp_path / "absent")])
    assert caught.value.code == 2 and "is no folder" in capsys.readouterr().err


@pytest.mark.slow
def test_json_holds_what_others_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.jsonl").write_text(json.dumps({"text": "a beheading", "label": "unsafe"}) + "\n")
    assert main(["--json", "--quick", "--data", str(tmp_path)]) == 0
    result = json.loads(capsys.readouterr().out)
    assert set(result) == {"name", "environment", "rows"} and result["name"] == "policy"
    assert all(
        set(item) >= {"metric", "ours", "peer", "peer_name", "ratio", "better", "unit"}
        for item in result["rows"]
    )
    assert any(item["metric"].startswith("stopped, mine.jsonl, unsafe") for item in result["rows"])


def test_intervals_hold_their_share() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    low, high = wilson(30, 100)
    assert 0.2 < low < 0.3 < high < 0.41
    macro = macro_row("m", [[True] * 9 + [False], [False] * 90 + [True] * 10])
    assert macro.ours == 0.5 and macro.more["low"] < 0.5 < macro.more["high"]


class ByLength:
    """Stops what is long: the words alone from 20 characters, the head the more the longer."""

    def see(self, text: str) -> Seen:
        action = Action.BLOCK if len(text) >= 20 else Action.REVIEW if len(text) >= 10 else Action.ALLOW
        return Seen(action=action, words=len(text) >= 20, top=len(text) / 20)


def test_points_say_recall_and_false_alarms_at_each_bound() -> None:
    card = {
        "validation": {"points": [{"false_alarms": 0.03, "bound": 0.4}, {"false_alarms": 0.01, "bound": 0.8}]}
    }
    items = [
        Item(text="x" * 9, unsafe=True, category="hate"),
        Item(text="y" * 17, unsafe=True, category="hate"),
        Item(text="z", unsafe=False),
        Item(text="caption", unsafe=False, source="vbench"),
        Item(text="long caption", unsafe=False, source="vbench"),
    ]
    rows = {item.metric: item.ours for item in point_rows(ByLength(), items, card)}
    assert rows["recall, hate, own test, bound of 3 %"] == 1.0
    assert rows["recall, hate, own test, bound of 1 %"] == 0.5
    assert rows["recall, hate, own test, shipped pack"] == 0.5
    assert rows["false alarms, vbench, bound of 3 %"] == 0.5
    assert rows["recall minus false alarms, en, own test, shipped pack"] == 0.5
    assert rows["harmless captions sent to review, vbench, shipped pack"] == 0.5
    assert any(name.startswith("reviewer hours per million") for name in rows)
