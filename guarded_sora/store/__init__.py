"""The store: SQL, the one home of clips, ids, manifests and fingerprints."""

from guarded_sora.store.clips import ClipRecord, ClipState, ClipStore, FingerprintHit

__all__ = ["ClipRecord", "ClipState", "ClipStore", "FingerprintHit"]
