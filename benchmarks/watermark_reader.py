"""Reads marks for the benchmark in a process that has nothing but a key: no store, no home, no hint.

Started by ``benchmarks.watermark --fresh-home``; arguments: secret in hex, epoch, tenant. A JSON object
a line in (``frames``: an .npy file, ``fps``), one a line out (``state``, ``id``, ``log10_p``).
"""

from __future__ import annotations

import json
import sys

import cv2
import numpy as np

from benchmarks.attacks import Film
from benchmarks.watermark_marks import batches
from guarded_sora.provenance.watermark import KeyedTileMark, MarkKey


def main() -> None:
    secret, epoch, tenant = sys.argv[1:]
    cv2.setNumThreads(1)
    mark = KeyedTileMark(MarkKey(secret=bytes.fromhex(secret), epoch=int(epoch), tenant=tenant))
    for line in sys.stdin:
        question = json.loads(line)
        evidence = mark.detect(batches(Film(frames=np.load(question["frames"]), fps=question["fps"])))
        answer = {
            "state": evidence.state.value,
            "id": evidence.payload.id if evidence.payload else None,
            "log10_p": evidence.log10_p,
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
