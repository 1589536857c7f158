"""The command line: exit status, JSON on stdout, one clear sentence for bad input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from guarded_sora import GuardedSora
from guarded_sora.cli.main import COMMANDS, main
from guarded_sora.generation.backends.builtin import BuiltinBackend
from tests.guarded_sora.conftest import Painter

PROMPT = "a red balloon rising over a sandy beach"
REFUSED = "a photorealistic beheading, blood everywhere"

Run = Callable[..., tuple[int, list[dict[str, Any]], str]]


@pytest.fixture
def run(home: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in this process: exit status, JSON lines of stdout, stderr."""
    monkeypatch.setattr("guarded_sora.services._load_backend", lambda *_: Painter())

    def call(*arguments: str, json_output: bool = True) -> tuple[int, list[dict[str, Any]], str]:
        words = [*arguments, *(["--json"] if json_output else [])]
        if arguments[0] not in ("policy", "train") and arguments[:2] != ("audit", "check"):
            words += ["--home", str(home)]
        with pytest.raises(SystemExit) as left:
            main(words)
        out, err = capfd.readouterr()
        lines = [json.loads(line) for line in out.splitlines()] if json_output else [{"text": out}]
        return int(left.value.code or 0), lines, err

    return call


def command(arguments: Sequence[str], home: Path, **more: Any) -> subprocess.CompletedProcess[str]:
    """Runs the real program in a process of its own."""
    environment = {**os.environ, "GUARDED_SORA_HOME": str(home), **more.pop("env", {})}
    return subprocess.run(
        [sys.executable, "-m", "guarded_sora", *arguments],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        check=False,
        **more,
    )


def test_generate_then_verify(run: Run, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    status, (made,), _ = run("generate", PROMPT, "-o", str(clip), "--seed", "3")
    assert status == 0
    assert set(made) >= {
        "clip_id",
        "path",
        "contact_sheet",
        "decision",
        "checks",
        "stages",
        "in_domain",
        "audit",
    }
    assert made["decision"]["action"] == "allow"
    assert set(made["decision"]["pack"]) == {"id", "version", "digest"}
    assert set(made["checks"][0]) >= {"name", "state", "result", "version", "ms"}
    assert Path(made["contact_sheet"]).read_bytes().startswith(b"\x89PNG")

    status, (seen,), _ = run("verify", str(clip))
    assert status == 0
    assert (seen["verdict"], seen["clip_id"]) == ("ours_intact", made["clip_id"])
    assert set(seen) >= {"file", "sha256", "reason", "notices", "evidence", "segments", "rules", "audit"}
    assert set(seen["audit"]) == {"seq", "included"}


def test_of_several_files_the_worst_counts(run: Run, film: Callable[..., Path], tmp_path: Path) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_text("no film")
    status, seen, _ = run("verify", str(film()), str(bad))
    assert status == 1
    assert [item["verdict"] for item in seen] == ["no_evidence", "unreadable"]


def test_a_blocked_prompt_has_no_path_and_status_1(run: Run, tmp_path: Path) -> None:
    status, (answer,), err = run("generate", REFUSED, "-o", str(tmp_path / "never.mp4"))
    assert status == 1
    assert "path" not in answer
    assert answer["decision"]["rules"][0]["id"]
    assert "beheading" not in err
    assert not (tmp_path / "never.mp4").exists()


def test_people_get_words_instead_of_json(run: Run, tmp_path: Path) -> None:
    status, (shown,), _ = run("generate", PROMPT, "-o", str(tmp_path / "clip.mp4"), json_output=False)
    assert status == 0
    assert "clip id" in shown["text"] and "all stages" in shown["text"]
    status, (shown,), _ = run("verify", str(tmp_path / "clip.mp4"), json_output=False)
    assert "ours_intact" in shown["text"] and "p = 10^-" in shown["text"]


def test_protect(run: Run, film: Callable[..., Path], tmp_path: Path) -> None:
    status, (made,), _ = run(
        "protect", str(film()), "-o", str(tmp_path / "safe.mp4"), "--prompt", "soft shapes"
    )
    assert status == 0
    status, (seen,), _ = run("verify", str(tmp_path / "safe.mp4"))
    assert seen["clip_id"] == made["clip_id"]


def test_policy_check_answers_one_or_many(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    status, (answer,), _ = run("policy", "check", PROMPT)
    assert (status, answer["decision"]["action"]) == (0, "allow")
    assert set(answer) >= {"text_sha256", "decision", "findings"}
    status, (answer,), _ = run("policy", "check", REFUSED)
    assert status == 1 and answer["findings"]
    lines = tmp_path / "lines"
    lines.write_text("\n".join(json.dumps({"text": text}) for text in (PROMPT, REFUSED)))
    with lines.open() as file:
        monkeypatch.setattr("sys.stdin", file)
        status, answers, _ = run("policy", "check", "-")
    assert status == 1
    assert [answer["decision"]["action"] for answer in answers] == ["allow", "block"]


def test_policy_test_and_lint_hold(run: Run) -> None:
    status, results, _ = run("policy", "test")
    assert status == 0 and len(results) > 100
    status, (answer,), _ = run("policy", "lint")
    assert status == 0 and answer["rules"] >= 12


def test_a_pack_that_does_not_hold_fails_lint(run: Run, tmp_path: Path) -> None:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "pack.yaml").write_text("id: 7\n")
    status, (answer,), _ = run("policy", "lint", "--pack", str(tmp_path / "pack"))
    assert status == 1 and answer["holds"] is False


def test_the_log_is_read_proved_and_checked(run: Run, tmp_path: Path) -> None:
    _, (made,), _ = run("generate", PROMPT, "-o", str(tmp_path / "clip.mp4"), "--actor", "ann")
    seq = made["audit"]["seq"]
    status, entries, _ = run("audit", "tail", "-n", "50")
    assert status == 0 and entries[seq]["kind"] == "request.released"
    _, found, _ = run("audit", "search", "--actor", "ann", "--kind", "request.*")
    assert [entry["kind"] for entry in found] == ["request.intent", "request.decided", "request.released"]

    status, (files,), _ = run("audit", "prove", str(seq), "-o", str(tmp_path / "proof"))
    assert status == 0
    arguments = ["audit", "check", files["proof"], "--entry", files["entry"], "--key", files["key"]]
    status, (answer,), _ = run(*arguments)
    assert (status, answer["holds"], answer["index"]) == (0, True, seq)
    entry = Path(files["entry"])
    entry.write_bytes(entry.read_bytes().replace(b'"allow"', b'"block"'))
    status, (answer,), _ = run(*arguments)
    assert (status, answer["holds"]) == (1, False)

    status, (report,), _ = run("audit", "verify")
    assert status == 0 and report["holds"] and report["size"] == len(entries)


def test_erasure_removes_the_prompt_and_every_proof_still_holds(run: Run, home: Path, tmp_path: Path) -> None:
    run("generate", PROMPT, "-o", str(tmp_path / "clip.mp4"), "--actor", "ann")
    status, (done,), _ = run("audit", "erase", "--subject", "ann", "--yes")
    assert status == 0 and done["payloads"] == 1
    status, (report,), _ = run("audit", "verify")
    assert status == 0 and report["holds"]
    status, (seen,), _ = run("verify", str(tmp_path / "clip.mp4"))
    assert seen["verdict"] == "ours_intact"


def test_keys_doctor_migrate(run: Run, home: Path) -> None:
    status, (keys,), _ = run("keys")
    assert status == 0 and len(keys["issuer"]) == 8
    assert "PRIVATE" not in json.dumps(keys)
    status, (doctor,), _ = run("doctor")
    states = {part["part"]: part["state"] for part in doctor["parts"]}
    assert states["signing and trust"] == "ok" and states["policy pack"] == "ok"
    assert status == 0
    status, (versions,), _ = run("migrate")
    assert status == 0 and set(versions) == {"audit_version", "guarded_sora_version"}


def test_cases_are_listed_decided_and_released(run: Run, home: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    from guarded_sora import ReviewRequired
    from tests.guarded_sora.test_guard import Broken

    with GuardedSora.open(home=home, backend=Painter()) as sora:
        guarded = GuardedSora(replace(sora.services, frame_checks=(Broken(),)))
        with pytest.raises(ReviewRequired) as caught:
            guarded.generate(PROMPT, output=tmp_path / "clip.mp4")
    case_id = caught.value.case_id
    status, (case,), _ = run("cases", "list")
    assert status == 0 and (case["case_id"], case["kind"]) == (case_id, "film")
    status, (shown,), _ = run("cases", "show", case_id, "--reviewer", "rita")
    assert status == 0 and Path(shown["film"]).is_file()
    status, (answer,), _ = run("cases", "release", case_id, "-o", str(tmp_path / "clip.mp4"))
    assert status == 2 and "allow" in answer["error"]["message"]
    arguments = ("--action", "allow", "--reviewer", "rita", "--reason", "looked")
    status, (case,), _ = run("cases", "decide", case_id, *arguments)
    assert status == 0 and case["state"] == "decided"
    status, (made,), _ = run("cases", "release", case_id, "-o", str(tmp_path / "clip.mp4"))
    assert status == 0
    status, (seen,), _ = run("verify", str(tmp_path / "clip.mp4"))
    assert (seen["verdict"], seen["clip_id"]) == ("ours_intact", made["clip_id"])


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["generate", "", "-o", "x.mp4"], 2, "prompt is empty"),
        (["generate", "a" * 100_001, "-o", "x.mp4"], 2, "100,001 characters"),
        (["generate", PROMPT], 2, "--output"),
        (["generate", PROMPT, "-o", "no/such/folder/x.mp4"], 2, "does not exist"),
        (["generate", PROMPT, "-o", "x.avi"], 2, ".mp4"),
        (["generate", PROMPT, "-o", "x.mp4", "--size", "big"], 2, "WIDTHxHEIGHT"),
        (["generate", PROMPT, "-o", "x.mp4", "--size", "47x256"], 2, "invisible mark"),
        (["generate", PROMPT, "-o", "x.mp4", "--seconds", "0"], 2, "more than 0"),
        (["generate", PROMPT, "-o", "x.mp4", "--n", "0"], 2, "1 to 16"),
        (["generate", PROMPT, "-o", "x.mp4", "--image", "missing.png"], 2, "missing.png"),
        (["generate", PROMPT, "-o", "x.mp4", "--video", "missing.mp4"], 2, "missing.mp4"),
        (["protect", "missing.mp4", "-o", "x.mp4", "--prompt", "soft"], 2, "missing.mp4"),
        (["verify", "missing.mp4"], 2, "not a file"),
        (["verify"], 2, "FILES"),
        (["cases", "release", "no-such-case"], 2, "no case"),
        (["audit", "prove", "99", "-o", "proof"], 2, "99"),
        (["frobnicate"], 2, "No such command"),
    ],
)
def test_bad_input_gets_one_sentence_and_its_status(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    status: int,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    answered, (answer,), _ = run(*arguments)
    assert words in answer["error"]["message"]
    assert answered == status
    assert not list(tmp_path.glob("x*"))


@pytest.mark.parametrize("content", ["text", "truncated", "empty"])
def test_protecting_what_is_no_film(
    run: Run, film: Callable[..., Path], tmp_path: Path, content: str
) -> None:
    source = tmp_path / "source.mp4"
    data = {"text": b"no film\n" * 9, "truncated": film().read_bytes()[:900], "empty": b""}[content]
    source.write_bytes(data)
    status, (answer,), _ = run("protect", str(source), "-o", str(tmp_path / "safe.mp4"), "--prompt", "soft")
    assert status == 2
    assert answer["error"]["code"] == "media"
    assert not (tmp_path / "safe.mp4").exists()


def test_a_missing_key_stops_everything_and_makes_no_new_one(run: Run, home: Path, tmp_path: Path) -> None:
    run("generate", PROMPT, "-o", str(tmp_path / "clip.mp4"))
    key = home / "keys" / "mark-epoch-0.key"
    kept = key.read_bytes()
    key.unlink()
    status, (answer,), _ = run("verify", str(tmp_path / "clip.mp4"))
    assert status == 3 and "restore it from your backup" in answer["error"]["message"]
    assert not key.exists()
    key.write_bytes(kept)
    status, (seen,), _ = run("verify", str(tmp_path / "clip.mp4"))
    assert seen["verdict"] == "ours_intact"


def test_a_lost_key_ring_is_not_replaced(run: Run, home: Path, tmp_path: Path) -> None:
    run("generate", PROMPT, "-o", str(tmp_path / "clip.mp4"))
    (home / "keys").rename(home / "lost")
    status, (answer,), _ = run("verify", str(tmp_path / "clip.mp4"))
    assert status == 3 and "restore the folder" in answer["error"]["message"]
    assert not (home / "keys").exists()


def test_every_command_has_help(home: Path) -> None:
    for name in COMMANDS:
        done = command([name, "--help"], home)
        assert done.returncode == 0, done.stderr
        assert "Usage:" in done.stdout


def test_prompt_reports_on_words_and_picture_and_leaves_nothing(run: Run, home: Path, tmp_path: Path) -> None:
    status, (seen,), _ = run("prompt", "a majestic dog at night")
    assert status == 0 and {word["text"]: word["fate"] for word in seen["words"]}["majestic"] == "unknown"
    picture = tmp_path / "noise.png"
    cv2.imwrite(str(picture), np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8))
    status, (seen,), _ = run("prompt", "a dog", "--image", str(picture))
    assert status == 0 and seen["conflicts"] and not seen["in_domain"]
    (tmp_path / "broken.png").write_bytes(b"no picture")
    for bad in (["--image", str(tmp_path / "broken.png")], ["--image", str(tmp_path / "none.png")],
                ["--image", str(picture), "--video", str(picture)], ["--video", str(picture)]):  # fmt: skip
        status, (answer,), _ = run("prompt", "a dog", *bad)
        assert status == 2 and answer["error"]["message"]
    assert not (home / "keys").exists()


def test_a_reader_of_ones_own_reads_the_prompt(run: Run, tmp_path: Path) -> None:
    from guarded_sora.training.config import ReaderConfig
    from guarded_sora.training.language import train

    train(tmp_path / "reader", None, 1, ReaderConfig(captions=16, epochs=1, batch=8, width=32, depth=1))
    status, (told,), _ = run("prompt", PROMPT, "--reader", str(tmp_path / "reader"))
    assert status == 0 and told["words"] == [] and set(told) >= {"understood", "warnings", "open"}
    _, (shown,), _ = run("prompt", PROMPT, "--reader", str(tmp_path / "reader"), json_output=False)
    assert "understood" in shown["text"]
    status, (answer,), _ = run("prompt", PROMPT, "--reader", str(tmp_path / "none"))
    assert status == 3 and "no trained reader" in answer["error"]["message"]


def test_the_reader_of_the_settings_reads_for_the_builtin_generator(home: Path, tmp_path: Path) -> None:
    from guarded_sora.services import _load_backend
    from guarded_sora.settings import Settings
    from guarded_sora.training.config import ReaderConfig
    from guarded_sora.training.language import train

    train(tmp_path, None, 1, ReaderConfig(captions=16, epochs=1, batch=8, width=32, depth=1))
    backend = _load_backend(Settings(home=home, reader=tmp_path), "builtin")
    assert isinstance(backend, BuiltinBackend) and backend.load().reader.name == "language:spelling"


def test_a_film_in_a_hurry_is_made_by_the_distilled_generator(home: Path) -> None:
    from guarded_sora.cli.options import chosen
    from guarded_sora.services import _load_backend
    from guarded_sora.settings import Settings

    backend = _load_backend(chosen(Settings(home=home), fast=True), "builtin")
    assert isinstance(backend, BuiltinBackend) and backend.load().guidance() == 1
    assert _load_backend(chosen(Settings(home=home), fast=None), "builtin") is not backend


@pytest.mark.parametrize("option", [["--fast"], ["--reader", "trained"]])
def test_what_only_the_builtin_generator_has_is_refused_beside_another(
    home: Path, tmp_path: Path, option: list[str]
) -> None:
    clip = tmp_path / "clip.mp4"
    done = command(["generate", PROMPT, "-o", str(clip), "--backend", str(tmp_path), *option], home)
    assert (done.returncode, done.stdout) == (2, "") and "built-in generator alone" in done.stderr
    assert not clip.exists()


def test_a_film_that_is_seen_in_part_is_said_to_be(run: Run, film: Callable[..., Path]) -> None:
    stranger = str(film(frames=12 * 8))
    _, (told,), _ = run("verify", stranger, "--depth", "provenance", json_output=False)
    assert "looked at    4.0 of 12.0 s" in told["text"]
    _, (told,), _ = run("verify", stranger, json_output=False)
    assert "looked at" not in told["text"]


def test_usage_errors_go_to_stderr_for_people(home: Path) -> None:
    done = command(["verify", "missing.mp4"], home)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1 and "missing.mp4" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_internal_error_is_one_sentence_with_status_3(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("words of a user")

    monkeypatch.setattr("guarded_sora.services.open_engine", broken)
    status, (answer,), _ = run("keys")
    assert status == 3
    assert answer["error"]["code"] == "internal"
    assert "words of a user" not in answer["error"]["message"]


@pytest.mark.slow
def test_train_runs_from_the_command_line(home: Path, tmp_path: Path) -> None:
    """A run of one tiny step: the command, the configuration and the exported weights are real."""
    tiny = [
        "steps=2",
        "encoder_steps=1",
        "fit_batches=1",
        "batch=1",
        "frames=5",
        "save_every=1",
        "producer=false",
    ]
    settings = [word for item in tiny for word in ("--set", item)]
    done = command(["train", "autoencoder", "-o", str(tmp_path / "run"), *settings], home)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "run").rglob("*.safetensors"))


@pytest.mark.parametrize("setting", ["batch", "batch=many", "nothing=1", "producer=perhaps"])
def test_a_training_setting_that_cannot_be_used(run: Run, setting: str) -> None:
    with pytest.raises(SystemExit) as left:
        main(["train", "autoencoder", "--set", setting])
    assert left.value.code == 2
