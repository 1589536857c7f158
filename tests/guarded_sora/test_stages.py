"""Nothing is released unless every stage ran and the guard itself publishes."""

from __future__ import annotations

import contextvars
import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from guarded_sora.detectors.errors import DetectorError
from guarded_sora.errors import Blocked, GuardedSoraError, MediaError, ReviewRequired, StageFailed
from guarded_sora.policies.finding import Action, CheckState, Decision, PackReference, strictest
from guarded_sora.stages import CheckSummary, ReleaseToken, StageRunner, describe
from guarded_sora.worker import Worker

HERE = "tests.guarded_sora.worker_functions"
PATIENT = 30.0
DECISION = Decision(action=Action.BLOCK, pack=PackReference(id="p", version="1", digest="0"))


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker(packages=(HERE,)) as made:
        yield made


@pytest.fixture
def token() -> ReleaseToken:
    return ReleaseToken()


@pytest.fixture
def runner(worker: Worker, token: ReleaseToken) -> StageRunner:
    return StageRunner(worker=worker, token=token)


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    path = tmp_path / "work" / "finished.mp4"
    path.parent.mkdir()
    path.write_bytes(b"film")
    return path


def fail(error: BaseException) -> None:
    raise error


def test_a_stage_returns_and_is_recorded(runner: StageRunner, token: ReleaseToken) -> None:
    assert runner.run("first", lambda a, *, b: a + b, 1, b=2, deadline=PATIENT) == 3
    assert runner.run_in_worker("second", f"{HERE}:add", 2, right=3, deadline=PATIENT) == 5
    with runner.here("third"):
        pass
    assert [(stage.name, stage.state) for stage in runner.stages] == [
        ("first", CheckState.RAN),
        ("second", CheckState.RAN),
        ("third", CheckState.RAN),
    ]
    assert all(stage.seconds >= 0 for stage in runner.stages)
    assert not token.revoked


def test_a_stage_sees_the_context_of_its_caller(runner: StageRunner) -> None:
    variable = contextvars.ContextVar("variable", default="unset")
    variable.set("set")
    assert runner.run("read", variable.get, deadline=PATIENT) == "set"
    assert runner.run("thread", threading.get_ident, deadline=PATIENT) != threading.get_ident()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("the secret prompt"), "ValueError"),
        (SystemExit("the secret prompt"), "SystemExit"),
        (KeyboardInterrupt("the secret prompt"), "KeyboardInterrupt"),
        (DetectorError("Install the model."), "DetectorError: Install the model."),
    ],
)
def test_an_exception_becomes_stage_failed(
    runner: StageRunner, token: ReleaseToken, error: BaseException, reason: str
) -> None:
    with pytest.raises(StageFailed) as caught:
        runner.run("mark", fail, error, deadline=PATIENT)
    assert caught.value.stage == "mark" and caught.value.reason == reason
    assert "secret" not in str(caught.value) and caught.value.__suppress_context__
    assert token.revoked and token.reason == f"mark: {reason}"
    assert runner.stages[-1].state is CheckState.FAILED and runner.stages[-1].reason == reason


@pytest.mark.parametrize("error", [MediaError("The film is damaged."), StageFailed("inner", "it broke")])
def test_our_own_errors_pass_and_revoke(
    runner: StageRunner, token: ReleaseToken, error: GuardedSoraError
) -> None:
    with pytest.raises(type(error)) as caught:
        runner.run("probe", fail, error, deadline=PATIENT)
    assert caught.value is error
    assert token.revoked and runner.stages[-1].state is CheckState.FAILED


@pytest.mark.parametrize("outcome", [Blocked(DECISION), ReviewRequired("case-1", DECISION)])
def test_an_answer_of_the_policy_is_no_fault_but_releases_nothing(
    runner: StageRunner, token: ReleaseToken, outcome: GuardedSoraError
) -> None:
    with pytest.raises(type(outcome)):
        runner.run("decide", fail, outcome, deadline=PATIENT)
    assert runner.stages[-1].state is CheckState.RAN
    assert token.revoked


def test_a_hang_is_stage_failed(runner: StageRunner, token: ReleaseToken) -> None:
    go = threading.Event()
    with pytest.raises(StageFailed) as caught:
        runner.run("generate", go.wait, 60, deadline=0.05)
    go.set()
    assert caught.value.reason == "it did not finish within 0.05 s"
    assert token.revoked


def test_the_place_of_a_foreign_error_is_recorded(runner: StageRunner) -> None:
    with pytest.raises(StageFailed) as caught:
        runner.run("decide", strictest, ["no action"], deadline=PATIENT)
    assert caught.value.reason.startswith("AttributeError at guarded_sora/policies/finding.py:")


def test_the_worker_is_killed_at_the_deadline(runner: StageRunner, token: ReleaseToken) -> None:
    with pytest.raises(StageFailed) as caught:
        runner.run_in_worker("parse", f"{HERE}:hang_in_c", 600, deadline=0.1)
    assert (caught.value.stage, caught.value.reason) == ("parse", "it did not finish within 0.1 s")
    assert token.revoked
    assert runner.run_in_worker("again", f"{HERE}:add", 1, right=1, deadline=PATIENT) == 2


def test_without_a_worker_nothing_runs_in_one() -> None:
    runner = StageRunner()
    with pytest.raises(StageFailed, match="no worker"):
        runner.run_in_worker("parse", f"{HERE}:add", 1, right=1, deadline=PATIENT)


def test_a_check_that_runs(runner: StageRunner, token: ReleaseToken) -> None:
    outcome = runner.run_check(
        "faces",
        lambda: [1, 2],
        version="1.2",
        deadline=PATIENT,
        summary=lambda faces: CheckSummary(
            result=f"{len(faces)} faces", score=0.25, threshold=0.5, weights_sha256="ab"
        ),
    )
    assert outcome.value == [1, 2]
    run = outcome.run
    assert (run.name, run.version, run.state, run.reason) == ("faces", "1.2", CheckState.RAN, "")
    assert (run.result, run.score, run.threshold, run.weights_sha256) == ("2 faces", 0.25, 0.5, "ab")
    assert run.ms >= 0 and runner.checks == (run,) and not token.revoked


@pytest.mark.parametrize("error", [ValueError("secret"), MemoryError("secret"), StageFailed("x", "why")])
def test_a_check_that_raises_is_a_record_not_silence(
    runner: StageRunner, token: ReleaseToken, error: BaseException
) -> None:
    outcome = runner.run_check("names", fail, error, version="1", deadline=PATIENT)
    assert outcome.value is None
    assert outcome.run.state is CheckState.FAILED and outcome.run.reason
    assert "secret" not in outcome.run.reason
    assert not token.revoked, "the policy decides what a failed check means"


def test_a_check_that_hangs_is_a_record(runner: StageRunner) -> None:
    go = threading.Event()
    outcome = runner.run_check("slow", go.wait, 60, version="1", deadline=0.05)
    go.set()
    assert outcome.value is None and outcome.run.state is CheckState.FAILED
    assert outcome.run.reason == "it did not finish within 0.05 s"


def test_a_summary_that_raises_fails_the_check(runner: StageRunner) -> None:
    outcome = runner.run_check(
        "odd", list, version="1", deadline=PATIENT, summary=lambda v: CheckSummary(score=1 / len(v))
    )
    assert outcome.value is None and outcome.run.state is CheckState.FAILED
    assert "ZeroDivisionError" in outcome.run.reason


def test_checks_in_the_worker(runner: StageRunner) -> None:
    good = runner.run_check_in_worker("sum", f"{HERE}:add", 1, right=2, version="1", deadline=PATIENT)
    bad = runner.run_check_in_worker("boom", f"{HERE}:crash", version="1", deadline=PATIENT)
    assert good.value == 3 and good.run.state is CheckState.RAN
    assert bad.value is None and bad.run.state is CheckState.FAILED and "SIGSEGV" in bad.run.reason


def test_a_check_that_is_not_installed(runner: StageRunner) -> None:
    run = runner.unavailable("detoxify", version="", reason="not installed")
    assert run.state is CheckState.UNAVAILABLE and runner.checks == (run,)


def test_publish_moves_the_file_once(token: ReleaseToken, finished: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    target.write_bytes(b"an older film")
    assert token.publish(finished, target) == target
    assert target.read_bytes() == b"film" and not finished.exists() and token.spent
    finished.write_bytes(b"another")
    with pytest.raises(StageFailed, match="already made"):
        token.publish(finished, tmp_path / "second.mp4")
    assert not (tmp_path / "second.mp4").exists()


def test_a_revoked_token_publishes_nothing(token: ReleaseToken, finished: Path, tmp_path: Path) -> None:
    token.revoke("sign: it broke")
    token.revoke("later")
    with pytest.raises(StageFailed, match="sign: it broke"):
        token.publish(finished, tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists() and finished.exists()


def test_another_thread_cannot_publish_and_spoils_the_release(
    token: ReleaseToken, finished: Path, tmp_path: Path
) -> None:
    errors: list[BaseException] = []

    def steal() -> None:
        try:
            token.publish(finished, tmp_path / "out.mp4")
        except StageFailed as error:
            errors.append(error)

    thread = threading.Thread(target=steal)
    thread.start()
    thread.join()
    assert len(errors) == 1 and not (tmp_path / "out.mp4").exists()
    with pytest.raises(StageFailed):
        token.publish(finished, tmp_path / "out.mp4")


def test_an_abandoned_stage_can_release_nothing_later(
    runner: StageRunner, token: ReleaseToken, finished: Path, tmp_path: Path
) -> None:
    go, tried = threading.Event(), threading.Event()
    results: list[str] = []

    def stage() -> str:
        go.wait(PATIENT)
        try:  # even a stage that was handed the token by mistake
            token.publish(finished, tmp_path / "out.mp4")
            results.append("released")
        except StageFailed:
            results.append("refused")
        tried.set()
        return "late"

    with pytest.raises(StageFailed):
        runner.run("late", stage, deadline=0.05)
    go.set()
    assert tried.wait(PATIENT)
    assert results == ["refused"] and not (tmp_path / "out.mp4").exists()
    with pytest.raises(StageFailed):
        token.publish(finished, tmp_path / "out.mp4")


@pytest.mark.parametrize("failing", range(4))
@pytest.mark.parametrize("how", ["raise", "hang"])
def test_whichever_stage_fails_nothing_is_released(
    worker: Worker, finished: Path, tmp_path: Path, failing: int, how: str
) -> None:
    token = ReleaseToken()
    runner = StageRunner(worker=worker, token=token)
    go = threading.Event()

    def bad() -> None:
        if how == "hang":
            go.wait(PATIENT)
        raise RuntimeError

    stages: list[Callable[[], object]] = [lambda: None] * 4
    stages[failing] = bad
    with pytest.raises(StageFailed) as caught:
        for number, stage in enumerate(stages):
            runner.run(f"stage-{number}", stage, deadline=0.05 if number == failing else PATIENT)
        token.publish(finished, tmp_path / "out.mp4")
    go.set()
    assert caught.value.stage == f"stage-{failing}"
    assert [record.state for record in runner.stages].count(CheckState.FAILED) == 1
    with pytest.raises(StageFailed):
        token.publish(finished, tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


def test_publish_across_file_systems(
    token: ReleaseToken, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.replace

    def replace(source: Path, target: Path) -> None:
        if Path(source) == finished:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    target = tmp_path / "out.mp4"
    token.publish(finished, target)
    assert target.read_bytes() == b"film" and not finished.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4", "work"]


def test_a_full_disk_while_publishing_leaves_nothing(
    token: ReleaseToken, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replace(source: Path, target: Path) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    def copyfile(source: Path, target: Path) -> None:
        Path(target).write_bytes(b"fi")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr("shutil.copyfile", copyfile)
    with pytest.raises(MediaError, match="There is no room"):
        token.publish(finished, tmp_path / "out.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["work"]
    assert finished.read_bytes() == b"film", "the finished film is not lost"
    assert token.revoked


@pytest.mark.parametrize(
    ("target", "text"),
    [("", "is a folder"), ("missing/out.mp4", "does not exist"), ("file/x.mp4", "does not")],
)
def test_a_target_that_cannot_be(
    token: ReleaseToken, finished: Path, tmp_path: Path, target: str, text: str
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MediaError, match=text):
        token.publish(finished, tmp_path / target)
    assert finished.exists()


def test_a_finished_file_that_is_gone(token: ReleaseToken, tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match="is gone"):
        token.publish(tmp_path / "never", tmp_path / "out.mp4")
    assert token.revoked


def test_describe_never_quotes_foreign_text() -> None:
    assert describe(ValueError("secret")) == "ValueError"
    assert describe(MediaError("Cut off.")) == "MediaError: Cut off."
    assert describe(StageFailed("x", "why")) == "why"


def test_many_abandoned_stages_do_not_pile_up_in_the_runner(runner: StageRunner) -> None:
    for _ in range(20):
        with pytest.raises(StageFailed):
            runner.run("slow", time.sleep, 0.2, deadline=0.001)
    assert len(runner.stages) == 20
