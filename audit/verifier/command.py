"""The verifier's command line: one JSON object on stdout and an exit status."""

from __future__ import annotations

import argparse
import base64
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from .dossier import check_dossier
from .exports import check_csv, check_export, check_parquet
from .signed import CheckFailed, SignedTree, check_proof, read_small
from .tiles import check_tiles

TABLES = (".jsonl", ".csv", ".parquet")
DOSSIER = ".zip"


def main(arguments: Sequence[str] | None = None) -> int:
    """Check what the arguments name; prints one JSON object and returns the exit status."""
    parser = argparse.ArgumentParser(prog="verifier", description="Check offline what a log has signed.")
    parser.add_argument(
        "path", help="a .tlog-proof file, a .jsonl, .csv or .parquet export, a .zip dossier, a tile folder"
    )
    parser.add_argument("--entry", help="the entry's bytes, as exported; for a proof")
    parser.add_argument("--key", required=True, help="file with the log's verification key")
    options = parser.parse_args(arguments)
    path = Path(options.path)
    if not path.is_dir() and path.suffix not in (*TABLES, DOSSIER) and options.entry is None:
        parser.error("a proof needs --entry, the file with the entry it is about")
    try:
        answer = _check(path, options.entry, read_small(options.key).decode())
    except CheckFailed as error:
        print(json.dumps({"holds": False, "reason": str(error)}))
        return 1
    except UnicodeDecodeError:
        print(json.dumps({"holds": False, "reason": "The proof, checkpoint or key is not a text file."}))
        return 1
    except ImportError:
        print("Checking a Parquet file needs pyarrow: pip install pyarrow", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    print(json.dumps({"holds": True, **answer}))
    return 0


def _check(path: Path, entry: str | None, key: str) -> dict[str, int | str]:
    if path.suffix == DOSSIER:
        dossier = check_dossier(path, key)
        return {
            **_tree(dossier.tree),
            "entries": dossier.entries,
            "payloads": dossier.payloads,
            "policies": len(dossier.policies),
            "seal": dossier.index,
            "about": dossier.about,
            "role": dossier.role,
        }
    if path.is_dir():
        tree = check_tiles(path, key)
        return {**_tree(tree), "entries": tree.size}
    if path.suffix in TABLES:
        note = read_small(f"{path}.checkpoint").decode()
        if path.suffix == ".parquet":
            tree, count = check_parquet(path, note, key)
        elif path.suffix == ".csv":
            with path.open(encoding="utf-8", newline="") as lines:
                tree, count = check_csv(lines, note, key)
        else:
            with path.open("rb") as file:
                tree, count = check_export(file, note, key)
        return {**_tree(tree), "entries": count}
    checked = check_proof(read_small(path).decode(), read_small(str(entry)), key)
    tree = SignedTree(origin=checked.origin, size=checked.size, root=checked.root)
    return {**_tree(tree), "index": checked.index, "leaf": base64.b64encode(checked.leaf).decode()}


def _tree(tree: SignedTree) -> dict[str, int | str]:
    return {"origin": tree.origin, "size": tree.size, "root": base64.b64encode(tree.root).decode()}
