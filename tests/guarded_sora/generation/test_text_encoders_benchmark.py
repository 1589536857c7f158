"""The comparison of text encoders counts what it says it counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import text_encoders
from benchmarks.text_encoders import Asked, by_kind, captions, exact, free_prompts, most_frequent, shuffled
from guarded_sora.generation.language import plain_caption
from guarded_sora.generation.reading import read_prompt
from guarded_sora.generation.vocabulary import KINDS, NATURAL
from guarded_sora.training.config import ReaderConfig
from guarded_sora.training.language import train


def asked(**means: str) -> Asked:
    return Asked(
        group="words", prompt=" ".join(means.values()), means={kind: means.get(kind, "") for kind in KINDS}
    )


def test_free_prompts_mean_what_the_world_can_show() -> None:
    found = free_prompts()
    assert len(found) == len({one.prompt for one in found}) == 124
    for one in found:
        reading = read_prompt(plain_caption(one.means))
        if one.means["object"]:
            assert {kind: reading.named(kind) or "" for kind in KINDS} == one.means, one.prompt
        if one.group != "outside":
            assert reading.in_domain, one.prompt
        assert not (one.means["colour"] and one.means["object"] in NATURAL), one.prompt


def test_captions_are_read_by_the_grammar_without_a_fault() -> None:
    found = captions(40)
    read = [{kind: read_prompt(one.prompt).named(kind) or "" for kind in KINDS} for one in found]
    assert exact(found, read) == 1.0 and len({one.group for one in found}) == 3


def test_scores_of_known_answers() -> None:
    wanted = [asked(object="dog", motion="left"), asked(object="cat"), asked(object="dog", style="grey")]
    read = [dict(one.means) for one in wanted]
    assert exact(wanted, read) == 1.0
    read[1]["colour"] = "red"  # said of a prompt that means none: not exact, and no kind's miss
    read[0]["motion"] = "right"
    assert exact(wanted, read) == pytest.approx(1 / 3)
    scores = by_kind(wanted, read)
    assert scores["object"] == 1.0 and scores["motion"] == 0.0 and scores["style"] == 1.0
    assert most_frequent(wanted)["object"] == pytest.approx(2 / 3)


def test_shuffled_prompts_score_far_below_right_ones() -> None:
    found = captions(60)
    read = [one.means for one in found]
    whole, kinds = shuffled(found, read)
    assert exact(found, read) == 1.0 and whole < 0.1
    assert kinds["object"] < 0.3 < by_kind(found, read)["object"]


def test_a_candidate_stands_beside_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = ReaderConfig(captions=16, epochs=1, batch=8, width=32, depth=1)
    monkeypatch.setattr(text_encoders, "train", lambda out, model, layers, _: train(out, model, layers, tiny))
    monkeypatch.setattr(text_encoders, "free_prompts", lambda: free_prompts()[::9])
    models = {"spelling": (None, None), "minilm": (None, 3)}
    rows = text_encoders.measure(tmp_path, models, count=0, texts=8)
    peers = {row.peer_name for row in rows}
    assert "spelling" in peers and "minilm" not in peers, "what is not there is not measured"
    exact_rows = {row.peer_name: row for row in rows if row.metric == "everything, held-out captions"}
    assert exact_rows["spelling"].ours == 1.0 and (exact_rows["spelling"].peer or 0.0) < 0.5
    assert not [row for row in rows if row.metric.startswith("film")]
    assert {row.better for row in rows if row.unit in text_encoders.LOWER} == {"lower"}
