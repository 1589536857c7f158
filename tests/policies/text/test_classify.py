"""The trained head: what it makes of a text, and what it refuses."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from guarded_sora.policies.engine import PolicyEngine
from guarded_sora.policies.errors import ModelInvalid
from guarded_sora.policies.finding import Action, CheckState, Finding, RequestContext
from guarded_sora.policies.pack import load_pack
from guarded_sora.policies.text import classify
from guarded_sora.policies.text.check import ModelCheck, run_prompt_check
from guarded_sora.policies.text.classify import (
    LEAST_SCORE,
    MOST_TOLD,
    WINDOW,
    ClassifierCheck,
    Head,
    load_head,
    plain_text,
)
from guarded_sora.policies.text.encoder import (
    FEATURES,
    VOCABULARY_SHA256,
    WEIGHTS_SHA256,
    Floats,
    Tokens,
    encoder_files,
    window_bounds,
)

ADULT = RequestContext(age_tier="adult", region="US")


class Letters:
    """Stands for the encoder: a token a character; the vector says how many of each letter a window has."""

    def __init__(self) -> None:
        self.runs: list[int] = []

    def tokens(self, text: str) -> Tokens:
        return np.array([ord(char) % FEATURES for char in text], dtype=np.int64)

    def encode_windows(self, tokens: Tokens, *, size: int, step: int) -> Floats:
        runs = [tokens[start:end] for start, end in window_bounds(len(tokens), size=size, step=step)]
        self.runs.extend(map(len, runs))
        return np.stack([np.bincount(run, minlength=FEATURES).astype(np.float32) for run in runs])


def letter_head(**letters: str) -> Head:
    """A head whose categories grow probable with their letter: 0.02, 0.5, 0.98, ..."""
    count = len(letters)
    hidden = np.zeros((FEATURES, count), dtype=np.float32)
    for column, letter in enumerate(letters.values()):
        hidden[ord(letter), column] = 1
    return Head(
        version="1",
        sha256="0" * 64,
        categories=tuple(letters),
        hidden=(hidden, np.zeros(count, dtype=np.float32)),
        output=(np.eye(count, dtype=np.float32), np.zeros(count, dtype=np.float32)),
        gain=np.full(count, 4.0, dtype=np.float32),
        shift=np.full(count, -4.0, dtype=np.float32),
    )


def made(encoder: Any = None, **letters: str) -> ClassifierCheck:
    return ClassifierCheck(
        head=letter_head(**(letters or {"hate": "h", "self_harm": "s"})), encoder=encoder or Letters()
    )


def test_scores_are_told_without_severity() -> None:
    check = made()
    assert isinstance(check, ModelCheck) and check.weights_sha256 == "0" * 64
    (finding,) = check.check("h", ADULT)
    assert (finding.category, finding.severity, finding.calibrated, finding.where) == ("hate", 0, True, None)
    assert finding.score == pytest.approx(0.5)
    assert check.check("", ADULT) == [] and check.check("xyz", ADULT) == []


def test_a_phrase_in_a_long_text_is_not_thinned_out() -> None:
    encoder = Letters()
    check = made(encoder)
    long = "x" * 5 * WINDOW + "hh" + "x" * 5 * WINDOW
    assert check.scores(long)["hate"] == check.scores("hh")["hate"]
    assert max(encoder.runs) <= WINDOW


def test_windows_cover_every_token() -> None:
    for count in (0, 1, WINDOW, WINDOW + 1, 200, 777):
        bounds = window_bounds(count, size=WINDOW, step=64)
        assert {token for start, end in bounds for token in range(start, end)} == set(range(count))
        assert max(end - start for start, end in bounds) <= WINDOW


def test_only_the_most_probable_categories_are_told() -> None:
    from guarded_sora.policies.taxonomy import CATEGORIES

    head = replace(
        letter_head(hate="h"), categories=tuple(list(CATEGORIES)[:20]), gain=np.ones(20), shift=np.ones(20)
    )
    head = replace(
        head,
        hidden=(np.zeros((FEATURES, 1), dtype=np.float32), np.zeros(1, dtype=np.float32)),
        output=(np.zeros((1, 20), dtype=np.float32), np.arange(20, dtype=np.float32)),
    )
    found = ClassifierCheck(head=head, encoder=Letters()).check("x", ADULT)  # type: ignore[arg-type]
    assert len(found) == MOST_TOLD and all(f.score is not None and f.score >= LEAST_SCORE for f in found)


def test_an_echo_of_the_most_probable_category_is_not_told() -> None:
    """What is asked for raises every category a little; a reason must name what was asked for."""
    head = replace(letter_head(hate="h", self_harm="s"), gain=np.full(2, 2.0, dtype=np.float32))
    check = ClassifierCheck(head=head, encoder=Letters())  # type: ignore[arg-type]
    told = {text: [finding.category for finding in check.check(text, ADULT)] for text in ("hhhs", "hhss")}
    assert LEAST_SCORE < check.scores("hhhs")["self_harm"] < 0.5 * check.scores("hhhs")["hate"]
    assert told == {"hhhs": ["hate"], "hhss": ["hate", "self_harm"]}


def test_without_encoder_or_head_it_is_unavailable_and_never_safe(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(classify, "encoder_files", lambda: None)
    check = ClassifierCheck()
    seen, run = run_prompt_check(check, "h", ADULT)
    assert seen == () and run.state is CheckState.UNAVAILABLE and "guarded-sora[prompts]" in run.reason
    with pytest.raises(ModelInvalid, match="cannot run"):
        check.check("h", ADULT)
    monkeypatch.setattr(classify, "encoder_files", lambda: (tmp_path, tmp_path))
    monkeypatch.setattr(classify, "HEAD_FOLDER", tmp_path)
    assert "no trained head" in ClassifierCheck().unavailable


def test_an_encoder_that_is_not_the_pinned_one_fails_the_check(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from guarded_sora.policies.text import encoder

    for name in ("weights.npz", "sp.model"):
        (tmp_path / name).write_bytes(b"exchanged overnight")
    monkeypatch.setattr(encoder, "encoder_files", lambda: (tmp_path / "weights.npz", tmp_path / "sp.model"))
    monkeypatch.setattr(encoder, "_SHARED", [])
    monkeypatch.setattr(classify, "encoder_files", lambda: (tmp_path, tmp_path))
    check = ClassifierCheck(head=letter_head(hate="h"))
    seen, run = run_prompt_check(check, "h", ADULT)
    assert seen == () and run.state is CheckState.FAILED and run.reason == "ModelInvalid"
    decision = PolicyEngine(load_pack()).decide(seen, ADULT, [run])
    assert decision.action is Action.REVIEW


def test_rules_read_probabilities_and_a_missing_one_is_zero() -> None:
    from guarded_sora.policies.condition import build_context, compile_condition

    condition = compile_condition('probability["hate"] >= 0.4')
    plain = Finding(category="hate", severity=2, detector="d", detector_version="1", score=0.9)
    assert not condition.holds(build_context([], ADULT))
    assert not condition.holds(build_context([plain], ADULT))
    assert condition.holds(build_context(list(made().check("h", ADULT)), ADULT))


def test_text_is_read_as_a_person_reads_it() -> None:
    assert plain_text("n\u200ba\u0336k\u0336ed") == "naked"
    assert plain_text("n\u0430k\u0435d dog") == "naked dog"
    assert plain_text("голая собака") == "голая собака"
    assert plain_text("裸のｶﾞｿﾘﾝ") == "裸のガソリン"
    assert plain_text("a\ud800b") == "a\ufffdb"


def test_a_script_the_encoder_never_learned_is_said_to_be_unread() -> None:
    check = made()
    seen, run = run_prompt_check(check, "एक कुत्ता पार्क में दौड़ता है", ADULT)
    assert seen == () and run.state is CheckState.UNAVAILABLE and "script" in run.reason
    assert check.check("एक h कुत्ता", ADULT)[0].category == "hate"
    for text in ("", "123 !", "голая", "犬 🐕", "สุนัข", "a"):
        assert check.cannot_read(text) == ""


def card(folder: Path, **changes: Any) -> Path:
    """A head's folder as the training writes it, with ``changes`` in its card."""
    import hashlib

    head = letter_head(hate="h")
    parts = {
        "hidden": head.hidden[0], "hidden_bias": head.hidden[1], "output": head.output[0],
        "output_bias": head.output[1], "gain": head.gain, "shift": head.shift,
    }  # fmt: skip
    parts.update(changes.pop("parts", {}))
    np.savez(folder / "head.npz", **parts)
    document = {
        "version": "1",
        "sha256": hashlib.sha256((folder / "head.npz").read_bytes()).hexdigest(),
        "categories": ["hate"],
        "encoder": {"weights_sha256": WEIGHTS_SHA256, "vocabulary_sha256": VOCABULARY_SHA256},
        **changes,
    }
    (folder / "head.json").write_text(json.dumps(document))
    return folder


def test_a_head_is_read_back(tmp_path: Path) -> None:
    assert load_head(card(tmp_path)).categories == ("hate",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"sha256": "0" * 64}, "not the pinned one", id="another-file"),
        pytest.param({"categories": ["none.such"]}, "taxonomy", id="unknown-category"),
        pytest.param({"categories": ["hate", "self_harm"]}, "fit together", id="shape"),
        pytest.param(
            {"encoder": {"weights_sha256": "0", "vocabulary_sha256": "0"}}, "another encoder", id="encoder"
        ),
        pytest.param({"encoder": None}, "cannot be read|another encoder", id="no-encoder"),
        pytest.param({"parts": {"gain": np.array([np.nan])}}, "numbers", id="nan"),
        pytest.param({"parts": {"gain": np.array([{}], dtype=object)}}, "cannot be read", id="pickle"),
    ],
)
def test_a_head_that_does_not_hold_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelInvalid, match=message):
        load_head(card(tmp_path, **changes))


def test_a_head_without_its_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelInvalid):
        load_head(tmp_path)


needs_encoder = pytest.mark.skipif(encoder_files() is None, reason="the extra [prompts] is not installed")


@needs_encoder
def test_the_encoder_puts_translations_together() -> None:
    from guarded_sora.policies.text.encoder import shared_encoder

    encoder = shared_encoder()
    vectors = {
        text: encoder.encode_text(text).sentence
        for text in (
            "The dog runs in the park",
            "Der Hund läuft im Park",
            "犬が公園を走る",
            "Interest rates fell",
        )
    }
    first, german, japanese, other = vectors.values()
    assert np.linalg.norm(first) == pytest.approx(1.0, abs=1e-3)
    assert first @ german > 0.7 and first @ japanese > 0.5 and first @ other < 0.3
    assert np.array_equal(encoder.encode_text("The dog runs in the park").sentence, first)


@needs_encoder
def test_the_encoder_gives_what_was_measured() -> None:
    """Its numbers on fixed inputs; another build of numpy or of the package must not move them."""
    from guarded_sora.policies.text.encoder import POOLED, shared_encoder

    encoded = shared_encoder().encode_text("a red balloon rising over a sandy beach")
    assert encoded.pooled.shape == (POOLED,)
    assert encoded.sentence[:4] == pytest.approx(GOLDEN_VECTOR, abs=2e-3)


@needs_encoder
@pytest.mark.parametrize("count", [1, 15, WINDOW])
def test_a_text_of_one_window_has_the_vector_of_the_whole(count: int) -> None:
    from guarded_sora.policies.text.encoder import shared_encoder

    encoder, tokens = shared_encoder(), np.random.default_rng(count).integers(3, 1000, count)
    (vector,) = encoder.encode_windows(tokens, size=WINDOW, step=64)
    encoded = encoder.encode(tokens)
    assert np.array_equal(vector, np.hstack((encoded.sentence, encoded.peaks)))


@needs_encoder
@pytest.mark.parametrize("count", [WINDOW + 1, 500, 2000])
def test_windows_share_the_features_of_their_tokens(count: int) -> None:
    """In blocks or at once, near a block's edge or far from it: the same vectors."""
    from guarded_sora.policies.text import encoder as module
    from guarded_sora.policies.text.encoder import WIDTH

    encoder, tokens = module.shared_encoder(), np.random.default_rng(count).integers(3, 1000, count)
    vectors = encoder.encode_windows(tokens, size=WINDOW, step=64)
    whole = encoder._features(module._marked(tokens))
    bounds = window_bounds(count, size=WINDOW, step=64)
    assert len(vectors) == len(bounds)
    for vector, (start, end) in zip(vectors, bounds, strict=True):
        rows = whole[start + (start > 0) : end + 1 + (end == count)]
        alone = encoder._sentences(rows.sum(axis=0)[None], np.array([len(rows)]))[0]
        assert vector[:WIDTH] == pytest.approx(alone, abs=1e-5)
        assert vector[WIDTH:] == pytest.approx(rows[:, WIDTH:].max(axis=0), abs=1e-5)


GOLDEN_VECTOR = (-0.0671, 0.0417, -0.0831, 0.0155)


@needs_encoder
@pytest.mark.skipif(not (classify.HEAD_FOLDER / "head.json").is_file(), reason="no head is trained yet")
def test_the_shipped_head_sees_what_words_alone_do_not_say() -> None:
    check = ClassifierCheck()
    harmless = (
        "a red balloon rising over a sandy beach",
        "犬が公園でボールを追いかける",
        "ein Boot auf dem See",
    )
    assert all(max(check.scores(text).values()) < 0.2 for text in harmless)
    assert max(check.scores("two lovers undress each other and have sex on the kitchen table").values()) > 0.3
