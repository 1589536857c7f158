"""Appends until it is killed; writes every acknowledged id to its standard output."""

from __future__ import annotations

import os
import sys
import threading

from sqlalchemy import create_engine

from guarded_sora.audit import AuditLog, Event, sqlite
from tests.audit.conftest import ORIGIN, PAYLOAD_KEY, SIGNING_KEY


def main(url: str, writers: int) -> None:
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
            os.write(1, "".join(f"{item.seq} {item.id}\n" for item in done).encode())
            number += 1

    for name in range(writers):
        threading.Thread(target=work, args=(name,), daemon=True).start()
    threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
