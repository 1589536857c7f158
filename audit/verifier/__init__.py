"""Stand-alone check: is this entry, this export or this whole tile tree what this key signs?

Needs the standard library and ``cryptography`` alone, loads nothing else of this project, and
shares no code with the part that makes proofs; so its modules find each other by relative import
and run the same from ``verifier.pyz``. Only a Parquet file needs ``pyarrow`` beside it. Run it as::

    python -m guarded_sora.audit.verifier PROOF --entry FILE --key FILE     one proof
    python -m guarded_sora.audit.verifier EXPORT --key FILE                 .jsonl, .csv or .parquet
    python -m guarded_sora.audit.verifier FOLDER --key FILE                 a tree of static tiles
    python -m guarded_sora.audit.verifier DOSSIER.zip --key FILE            a dossier

Exit status 0: it holds; 1: it does not; 2: the call is wrong.
"""

from __future__ import annotations

from .command import main
from .dossier import CheckedDossier, check_dossier
from .exports import check_csv, check_export, check_parquet
from .signed import (
    Checked,
    CheckFailed,
    SignedTree,
    check_checkpoint,
    check_consistency,
    check_proof,
    climb,
)
from .tiles import check_tiles

__all__ = [
    "CheckFailed",
    "Checked",
    "CheckedDossier",
    "SignedTree",
    "check_checkpoint",
    "check_consistency",
    "check_csv",
    "check_dossier",
    "check_export",
    "check_parquet",
    "check_proof",
    "check_tiles",
    "climb",
    "main",
]
