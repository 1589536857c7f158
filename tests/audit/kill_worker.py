"""Appends until it is killed; writes every acknowledged id to a file.

A server that has everything imported forks the workers, so that a hundred kills cost no hundred starts.
It reads a command a line: ``start URL FILE WRITERS`` answers with the worker's process id, ``reap``
waits for every worker and answers with their signals.
"""

from __future__ import annotations

import os
import sys
import threading

from sqlalchemy import create_engine

from guarded_sora.audit import AuditLog, Event, sqlite
from tests.audit.conftest import ORIGIN, PAYLOAD_KEY, SIGNING_KEY


def work_until_killed(url: str, file: str, writers: int) -> None:
    told = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    log = AuditLog(
        sqlite.prepare(create_engine(url, pool_size=writers)),
        signing_key=SIGNING_KEY,
        origin=ORIGIN,
        payload_key=PAYLOAD_KEY,
        checkpoint_seconds=0.02,
    )

    def work(name: int) -> None:
        number = 0
        while True:
            payload = b"personal" if number % 5 == 0 else None
            batch = [
                Event(
                    kind="kill.test",
                    actor=f"w{name}",
                    subject=f"s{number}",
                    body={"n": number},
                    payload=payload,
                )
                for _ in range(1 + number % 7)
            ]
            done = log.append(batch)
            # One write call: a line is there whole or not at all.
            os.write(told, "".join(f"{item.seq} {item.id}\n" for item in done).encode())
            number += 1

    for name in range(writers):
        threading.Thread(target=work, args=(name,), daemon=True).start()
    threading.Event().wait()


def serve() -> None:
    children: list[int] = []
    for line in sys.stdin:
        command, *rest = line.split()
        if command == "start":
            child = os.fork()
            if not child:
                try:
                    work_until_killed(rest[0], rest[1], int(rest[2]))
                finally:
                    os._exit(1)
            children.append(child)
            print(child, flush=True)
        else:
            statuses = [os.waitpid(child, 0)[1] for child in children]
            children.clear()
            print(*(os.WTERMSIG(status) for status in statuses), flush=True)


if __name__ == "__main__":
    serve()
