"""The worker survives whatever runs in it."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from guarded_sora.errors import GuardedSoraError, MediaError, StageFailed, UsageError
from guarded_sora.worker import Fault, Worker, WorkerFault, wire

HERE = "tests.guarded_sora.worker_functions"
PATIENT = 60.0


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker(packages=(HERE,), memory_bytes=3 << 28) as made:
        yield made


def run(worker: Worker, name: str, *args: object, deadline: float = PATIENT, **kwargs: object) -> object:
    return worker.call(f"{HERE}:{name}", *args, deadline=deadline, **kwargs)


def test_values_cross(worker: Worker) -> None:
    value = {"a": [1, 2.5, None, True], "b": ("x", b"y"), "c": Path("/tmp/z"), "d": frozenset({1})}
    assert run(worker, "echo", value) == value
    assert run(worker, "add", 2, right=3) == 5


def test_arrays_and_batches_cross(worker: Worker) -> None:
    assert np.array_equal(run(worker, "array", 1_000_000), np.arange(1_000_000, dtype=np.uint8))
    assert np.array_equal(run(worker, "strided"), np.arange(20).reshape(4, 5)[:, ::2])
    batch = run(worker, "batch")
    assert batch.frames.shape == (2, 4, 6, 3) and batch.frames.flags.writeable and batch.fps == 2.0
    assert run(worker, "echo", np.float64(0.5)) == 0.5


def test_the_process_stays_warm(worker: Worker) -> None:
    assert run(worker, "pid") == run(worker, "pid") != os.getpid()


def test_no_torch_in_the_child(worker: Worker) -> None:
    loaded = run(worker, "modules")
    assert "torch" not in loaded and "__main__" in loaded


@pytest.mark.parametrize("name", ["hang", "hang_in_c"])
def test_a_hang_is_killed_and_replaced(worker: Worker, name: str) -> None:
    before = run(worker, "pid")
    with pytest.raises(WorkerFault) as caught:
        run(worker, name, 600, deadline=0.3)
    assert caught.value.fault is Fault.TIMEOUT
    assert str(caught.value) == (
        f"The stage '{name}' failed: it did not finish within 0.3 s. Nothing was released."
    )
    assert not alive(before)
    assert run(worker, "pid") != before


@pytest.mark.parametrize(
    ("name", "args", "fault", "reason"),
    [
        ("crash", (), Fault.CRASHED, "SIGSEGV"),
        ("kill_myself", (), Fault.MEMORY, "killed"),
        ("leave", (0,), Fault.CRASHED, "ended early (status 0)"),
        ("ask_to_exit", (), Fault.RAISED, "SystemExit"),
        ("eat_memory", (), Fault.MEMORY, "MiB it may use"),
        ("forge", (), Fault.PROTOCOL, "unreadable"),
        ("forged_pickle", (), Fault.PROTOCOL, "unreadable"),
        ("unpicklable", (), Fault.RAISED, "Error"),
    ],
)
def test_a_fault_is_one_clear_error(
    worker: Worker, name: str, args: tuple[object, ...], fault: Fault, reason: str
) -> None:
    with pytest.raises(WorkerFault) as caught:
        run(worker, name, *args)
    assert caught.value.fault is fault
    assert reason in caught.value.reason
    assert isinstance(caught.value, StageFailed) and caught.value.stage == name
    assert run(worker, "add", 1, right=1) == 2


def test_printing_disturbs_nothing(worker: Worker, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(worker, "shout") == "still here"
    assert capfd.readouterr() == ("", "")


def test_our_errors_cross_as_they_are(worker: Worker) -> None:
    before = run(worker, "pid")
    with pytest.raises(MediaError, match=r"^The film is a teapot; pour it out\.$"):
        run(worker, "media_error")
    with pytest.raises(StageFailed) as caught:
        run(worker, "stage_failed")
    assert (caught.value.stage, caught.value.reason) == ("inner", "it broke")
    assert run(worker, "pid") == before, "an error is no reason to replace the process"


def test_foreign_errors_do_not_carry_their_text(worker: Worker) -> None:
    with pytest.raises(WorkerFault) as caught:
        run(worker, "foreign_error", "a secret prompt")
    assert "ValueError" in caught.value.reason and "secret" not in str(caught.value)
    assert caught.value.__cause__ is None and caught.value.__suppress_context__ is False


@pytest.mark.parametrize(
    "name",
    [
        "os:system",
        f"{HERE}:_private",
        f"{HERE}:later",
        f"{HERE}:np",
        f"{HERE}:missing",
        HERE,
        ":",
        f"{HERE}x:a",
    ],
)
def test_only_our_own_public_functions_run(worker: Worker, name: str) -> None:
    with pytest.raises(UsageError, match="may run in a worker"):
        worker.call(name, deadline=PATIENT)
    with pytest.raises(UsageError, match="may run in a worker"):
        list(worker.stream(name, deadline_per_item=PATIENT))
    assert run(worker, "add", 1, right=1) == 2


def test_an_unpicklable_argument_is_refused(worker: Worker) -> None:
    with pytest.raises(UsageError, match="cannot cross to a worker"):
        run(worker, "echo", lambda: None)
    assert run(worker, "add", 1, right=1) == 2


def test_a_stream_yields_everything_in_order(worker: Worker) -> None:
    before = run(worker, "pid")
    assert list(worker.stream(f"{HERE}:count", 100, deadline_per_item=PATIENT)) == list(range(100))
    assert list(worker.stream(f"{HERE}:count", 0, deadline_per_item=PATIENT)) == []
    assert run(worker, "pid") == before


def test_a_stream_waits_for_its_reader(worker: Worker, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    stream = worker.stream(f"{HERE}:count_into", str(trace), 1000, deadline_per_item=PATIENT)
    assert [next(stream) for _ in range(3)] == [0, 1, 2]
    time.sleep(0.3)
    assert int(trace.read_text()) <= 5
    stream.close()


def test_a_stream_left_early_keeps_the_process(worker: Worker) -> None:
    before = run(worker, "pid")
    for number in worker.stream(f"{HERE}:count", 1_000_000, deadline_per_item=PATIENT):
        if number == 10:
            break
    assert run(worker, "pid") == before


def test_two_streams_and_a_call_at_once(worker: Worker) -> None:
    left = worker.stream(f"{HERE}:count", 50, deadline_per_item=PATIENT)
    right = worker.stream(f"{HERE}:count", 50, deadline_per_item=PATIENT)
    for a, b in zip(left, right, strict=True):
        assert a == b
        if a == 25:
            assert run(worker, "add", a, right=b) == 50


def test_too_many_at_once_is_an_error_not_a_deadlock() -> None:
    with Worker(packages=(HERE,), processes=1) as single:
        stream = single.stream(f"{HERE}:count", 10, deadline_per_item=PATIENT)
        next(stream)
        with pytest.raises(WorkerFault, match="busy") as caught:
            run(single, "pid", deadline=0.2)
        assert caught.value.fault is Fault.BUSY
        stream.close()
        assert run(single, "add", 1, right=1) == 2


@pytest.mark.parametrize(
    ("name", "error", "text"),
    [
        ("count_then_raise", MediaError, "breaks off"),
        ("count_then_hang", WorkerFault, "did not finish within"),
        ("count_then_crash", WorkerFault, "SIGSEGV"),
    ],
)
def test_a_stream_that_breaks(worker: Worker, name: str, error: type[GuardedSoraError], text: str) -> None:
    run(worker, "pid")
    seen = []
    with pytest.raises(error, match=text):
        for number in worker.stream(f"{HERE}:{name}", 3, deadline_per_item=2.0):
            seen.append(number)
    assert seen == [0, 1, 2]
    assert run(worker, "add", 1, right=1) == 2


def test_threads_share_a_worker(worker: Worker) -> None:
    results: list[int] = []

    def work(start: int) -> None:
        for number in range(20):
            results.append(run(worker, "add", start, right=number))

    threads = [threading.Thread(target=work, args=(100 * n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == sorted(100 * n + number for n in range(6) for number in range(20))


def test_the_process_outlives_the_thread_that_started_it() -> None:
    with Worker(packages=(HERE,)) as made:
        pids: list[int] = []
        thread = threading.Thread(target=lambda: pids.append(run(made, "pid")))
        thread.start()
        thread.join()
        assert run(made, "pid") == pids[0]


def test_nothing_is_left_over() -> None:
    before = set(os.listdir("/proc/self/fd"))
    with Worker(packages=(HERE,)) as made:
        first = run(made, "pid")
        with pytest.raises(WorkerFault):
            run(made, "hang", 600, deadline=0.2)
        second = run(made, "pid")
        assert run(made, "descriptors") <= 8
    assert not alive(first) and not alive(second)
    assert set(os.listdir("/proc/self/fd")) == before
    with pytest.raises(ChildProcessError):
        os.waitpid(second, os.WNOHANG)
    made.close()
    with pytest.raises(WorkerFault, match="closed"):
        run(made, "pid")


def test_processor_time_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guarded_sora.worker.pool._cpu_allowance", lambda deadline: 0.0)
    with Worker(packages=(HERE,)) as made, pytest.raises(WorkerFault, match="processor time") as caught:
        run(made, "burn", 600)
    assert caught.value.fault is Fault.TIMEOUT


def test_a_forked_copy_starts_its_own(worker: Worker) -> None:
    parents = run(worker, "pid")
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, str(run(worker, "pid")).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    other = int(os.read(read, 100))
    os.close(read)
    os.close(write)
    assert other != parents and run(worker, "pid") == parents


SCRIPT = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
print("started")
from guarded_sora.worker import Worker
worker = Worker(packages=("{HERE}",))
print(worker.call("{HERE}:add", 2, right=3, deadline=60))
pid = worker.call("{HERE}:pid", deadline=60)
print(pid)
"""


@pytest.mark.parametrize("how", ["file", "command", "stdin"])
def test_scripts_without_a_main_guard(how: str, tmp_path: Path) -> None:
    (tmp_path / "guarded_sora.py").write_text("raise SystemExit('the wrong module')")
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong json')")
    place = tmp_path / "elsewhere"
    place.mkdir()
    script = place / "script.py"
    script.write_text(SCRIPT)
    arguments = {"file": [str(script)], "command": ["-c", SCRIPT], "stdin": ["-"]}[how]
    done = subprocess.run(
        [sys.executable, "-P", *arguments],
        input=SCRIPT if how == "stdin" else None,
        cwd=tmp_path,
        text=True,
        capture_output=True,
        timeout=PATIENT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    started, five, pid = done.stdout.split()
    assert (started, five, done.stderr) == ("started", "5", "")
    assert not alive(int(pid))


def test_the_child_dies_with_a_killed_parent() -> None:
    script = (
        textwrap.dedent(SCRIPT)
        + f"""
sys.stdout.flush()
worker.call("{HERE}:hang_in_c", 600, deadline=600)
"""
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    lines = [parent.stdout.readline() for _ in range(3)]
    time.sleep(0.2)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    end = time.monotonic() + 10
    while alive(int(lines[2])) and time.monotonic() < end:
        time.sleep(0.02)
    assert not alive(int(lines[2]))


@pytest.mark.parametrize(
    "data", [b"", b"GSW1", b"\x00" * 100, b"GSW1" + b"\xff" * 99, b"GSW1" + b"\x00" * 12]
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    left = memoryview(data)

    def read_into(view: memoryview) -> None:
        nonlocal left
        if view.nbytes > left.nbytes:
            raise wire.WireError("cut off")
        view[:] = left[: view.nbytes]
        left = left[view.nbytes :]

    with pytest.raises(wire.WireError):
        wire.unpack(read_into, trusted=False)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("guarded_sora.__main__", "main"),
        ("guarded_sora.worker.wire", "importlib"),
        ("guarded_sora.worker.wire", "pack"),
        ("guarded_sora.worker.pool", "Worker.call"),
        ("guarded_sora.worker.pool", "threading"),
        ("guarded_sorax", "Worker"),
    ],
)
def test_only_classes_of_ours_cross(module: str, name: str) -> None:
    with pytest.raises((wire.WireError, ImportError)):
        wire.our_class(module, name)
    assert wire.our_class("guarded_sora.errors", "MediaError") is MediaError
