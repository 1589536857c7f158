"""Signing and reading Content Credentials against the bare library, in one run.

    python -m benchmarks.credentials [--json] [--quick] [--sizes 1,10] [--repetitions N]

Ours is the whole path: container guard, explicit settings, content hash verified after signing, both of
the library's reports, the signer worked out from the certificates, and for reading a warm worker process
that can be killed. The peer is the library as its own documentation uses it, with the same trust anchor.
Wall times are medians of interleaved repetitions. Processor times count this process and its workers: they
say the same on a busy machine, where wall times do not.
"""

from __future__ import annotations

import argparse
import gc
import importlib.metadata
import json
import os
import platform
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import av
import c2pa
import numpy as np

from benchmarks.rows import Row, print_report, print_rows, row
from guarded_sora.provenance.credentials.certificates import Chain, issue_chain
from guarded_sora.provenance.credentials.manifest import (
    Generator,
    ManifestContent,
    SoftBinding,
    build_definition,
)
from guarded_sora.provenance.credentials.sign import sign
from guarded_sora.provenance.credentials.signer import FileKeySigner
from guarded_sora.provenance.credentials.states import State
from guarded_sora.provenance.credentials.trust import Trust
from guarded_sora.worker import Worker

READ = "guarded_sora.provenance.credentials.read:read"
PEER = f"c2pa-python {importlib.metadata.version('c2pa-python')}"
DEADLINE = 600.0


def beside(
    metric: str, ours: float, peer: float, unit: str, *, better: str = "lower", peer_name: str = PEER
) -> Row:
    return row(metric, ours, peer, peer_name, better, unit, digits=3)


def make_film(path: Path, megabytes: int) -> Path:
    """A real one-second film whose media box is filled up with noise to ``megabytes``."""
    small = path.with_suffix(".small.mp4")
    with av.open(str(small), "w") as container:
        stream: Any = container.add_stream("libx264", rate=8)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for index in range(8):
            picture = np.full((64, 64, 3), index * 30, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    data = small.read_bytes()
    small.unlink()
    at = data.index(b"mdat") - 4
    length = struct.unpack(">I", data[at : at + 4])[0]
    filler = megabytes * 1_000_000 - len(data)
    noise = np.random.default_rng(0).bytes(1 << 20)
    with open(path, "wb") as target:
        target.write(data[:at] + struct.pack(">I", length + filler) + data[at + 4 : at + length])
        for start in range(0, filler, len(noise)):
            target.write(noise[: min(len(noise), filler - start)])
        target.write(data[at + length :])
    return path


def content() -> ManifestContent:
    return ManifestContent(
        clip_id="gs1:0badcafe:0123456789",
        title="Benchmark",
        generator=Generator(name="benchmark", version="1"),
        created=datetime.now(UTC),
        soft_binding=SoftBinding(value="gs1.0123456789"),
    )


def bare_settings(chain: Chain) -> dict[str, Any]:
    return {"verify": {"verify_trust": True}, "trust": {"trust_anchors": chain.root_pem.decode()}}


def bare_sign(src: Path, dst: Path, chain: Chain) -> None:
    """The library's documented way, with its own settings."""
    info = c2pa.C2paSignerInfo(b"es256", chain.chain_pem, chain.key_pem, None)
    with (
        c2pa.Context.from_dict(bare_settings(chain)) as context,
        c2pa.Signer.from_info(info) as signer,
        c2pa.Builder(build_definition(content(), "video/mp4"), context) as builder,
        open(src, "rb") as source,
        open(dst, "w+b") as target,
    ):
        builder.sign(signer, "video/mp4", source, target)


def bare_read(path: Path, chain: Chain) -> None:
    with (
        c2pa.Context.from_dict(bare_settings(chain)) as context,
        open(path, "rb") as stream,
        c2pa.Reader("video/mp4", stream, context=context) as reader,
    ):
        if json.loads(reader.json())["validation_state"] != "Trusted":
            raise SystemExit("the bare library does not trust the benchmark's own film")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Seconds: on the clock, and of processor time here and in our child processes."""

    wall: float
    cpu: float


def cpu_seconds() -> float:
    """Processor time of this process and of its living children so far (Linux)."""
    own = os.getpid()
    total = 0
    for task in Path("/proc").glob("[0-9]*/task/*"):
        try:
            if int(task.parts[2]) == own or parent_of(task.parts[2]) == own:
                total += int((task / "schedstat").read_text().split()[0])
        except (OSError, ValueError, IndexError):
            continue  # it ended meanwhile
    return total / 1e9


def parent_of(pid: str) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def cost(function: Callable[[], object]) -> Cost:
    gc.collect()
    cpu, start = cpu_seconds(), time.perf_counter()
    function()
    wall = time.perf_counter() - start
    return Cost(wall=wall, cpu=cpu_seconds() - cpu)


def interleaved(ours: Callable[[], object], peer: Callable[[], object], times: int) -> tuple[Cost, Cost]:
    """Medians; the order alternates, so that a busy machine hurts both alike."""
    pairs = []
    for turn in range(times):
        if turn % 2:
            second, first = cost(peer), cost(ours)
        else:
            first, second = cost(ours), cost(peer)
        pairs.append((first, second))
    return median([pair[0] for pair in pairs]), median([pair[1] for pair in pairs])


def median(costs: list[Cost]) -> Cost:
    return Cost(
        wall=statistics.median(item.wall for item in costs), cpu=statistics.median(item.cpu for item in costs)
    )


def timed(metric: str, pair: tuple[Cost, Cost]) -> list[Row]:
    """A row for the clock and one for the processor, in milliseconds."""
    ours, peer = pair
    return [
        beside(metric, 1000 * ours.wall, 1000 * peer.wall, "ms"),
        beside(f"{metric}, processor", 1000 * ours.cpu, 1000 * peer.cpu, "ms"),
    ]


def peak_mib(kind: str, src: Path, folder: Path) -> float:
    """Peak resident memory of a fresh process that does one ``kind`` of work, in MiB."""
    code = "import sys; from benchmarks.credentials import work; work(*sys.argv[1:])"
    command = [sys.executable, "-c", code, kind, str(src), str(folder)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(output.strip().splitlines()[-1])


def work(kind: str, src: str, folder: str) -> None:
    """What :func:`peak_mib` runs in its child."""
    from guarded_sora.provenance.credentials.read import read

    pems = [(Path(folder) / f"{name}.pem").read_bytes() for name in ("root", "chain", "key")]
    chain = Chain(root_pem=pems[0], chain_pem=pems[1], key_pem=pems[2], authority_key_pem=b"")
    target = Path(folder) / "peak.mp4"
    if kind == "ours-sign":
        sign(Path(src), target, content(), FileKeySigner.of(chain))
    elif kind == "peer-sign":
        bare_sign(Path(src), target, chain)
    elif kind == "ours-read":
        read(Path(src), Trust(own_root_pem=chain.root_pem))
    else:
        bare_read(Path(src), chain)
    target.unlink(missing_ok=True)
    # Not ru_maxrss: a child begins with its parent's value there.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    print(next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024)


def rate(calls: int, threads: int, function: Callable[[], object]) -> float:
    """Calls of ``function`` a second with so many threads."""
    shares = [calls // threads] * threads

    def run(share: int) -> None:
        for _ in range(share):
            function()

    workers = [threading.Thread(target=run, args=(share,)) for share in shares]
    start = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(shares) / (time.perf_counter() - start)


def measure(folder: Path, sizes: list[int], repetitions: int) -> list[Row]:
    chain = issue_chain("Benchmark")
    for name, pem in (("root", chain.root_pem), ("chain", chain.chain_pem), ("key", chain.key_pem)):
        (folder / f"{name}.pem").write_bytes(pem)
    trust, signer = Trust(own_root_pem=chain.root_pem), FileKeySigner.of(chain)
    rows: list[Row] = []
    warm = ("guarded_sora.provenance.credentials.read", "c2pa")
    with Worker(warm=warm, processes=2) as pool:

        def isolated(path: Path) -> None:
            if pool.call(READ, path, trust, deadline=DEADLINE).state is not State.TRUSTED:
                raise SystemExit("our reader does not trust the benchmark's own film")

        for megabytes in sizes:
            film = make_film(folder / f"film{megabytes}.mp4", megabytes)
            ours, theirs = folder / "ours.mp4", folder / "theirs.mp4"
            times = max(2, repetitions if megabytes <= 10 else repetitions // 3 if megabytes <= 100 else 2)
            signing = interleaved(
                lambda s=film, d=ours: sign(s, d, content(), signer),  # type: ignore[misc]
                lambda s=film, d=theirs: bare_sign(s, d, chain),  # type: ignore[misc]
                times,
            )
            isolated(ours)
            reading = interleaved(
                lambda p=ours: isolated(p),  # type: ignore[misc]
                lambda p=ours: bare_read(p, chain),  # type: ignore[misc]
                times,
            )
            rows += timed(f"sign {megabytes} MB", signing)
            rows += timed(f"verify {megabytes} MB, isolated", reading)
            if megabytes in (sizes[0], sizes[-1]):
                for name in ("sign", "read"):
                    source = film if name == "sign" else ours
                    ours_peak, peer_peak = (
                        peak_mib(f"{who}-{name}", source, folder) for who in ("ours", "peer")
                    )
                    rows.append(beside(f"peak memory, {name} {megabytes} MB", ours_peak, peer_peak, "MiB"))
            if megabytes == sizes[0]:
                calls = 40 if repetitions < 5 else 200
                bare = rate(calls, 1, lambda p=ours: bare_read(p, chain))  # type: ignore[misc]
                for workers in (1, 2):
                    speed = rate(calls, workers, lambda p=ours: isolated(p))  # type: ignore[misc]
                    name = f"verify {megabytes} MB with {workers} worker{'s' * (workers > 1)}"
                    rows.append(
                        beside(name, speed, bare, "1/s", better="higher", peer_name=f"{PEER}, in process")
                    )
            for path in (film, ours, theirs):
                path.unlink()
    return rows


def environment() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "usable_cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": [round(value, 1) for value in os.getloadavg()],
        "packages": {
            name: importlib.metadata.version(name) for name in ("c2pa-python", "cryptography", "av")
        },
        "settings": "ES256, no timestamp, no network; peer: default settings with the same trust anchor",
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Content Credentials against the bare library.")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="1 and 10 MB only")
    parser.add_argument("--sizes", default="1,10,100,1000", help="megabytes, separated by commas")
    parser.add_argument("--repetitions", type=int, default=9)
    options = parser.parse_args(arguments)
    sizes = [1, 10] if options.quick else [int(size) for size in options.sizes.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), sizes, max(2, options.repetitions))
    if options.json:
        print_report("credentials", environment(), rows)
    else:
        print_rows(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
