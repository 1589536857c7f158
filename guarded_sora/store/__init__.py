"""The store: SQL, the one home of clips, ids, manifests, fingerprints, and of people, consents, works."""

from guarded_sora.store.clips import ClipRecord, ClipState, ClipStore, FingerprintHit
from guarded_sora.store.grants import Grant, GrantBook, GrantUse
from guarded_sora.store.policy_texts import PolicyTexts
from guarded_sora.store.registry import Registry
from guarded_sora.store.registry_keys import RegistryKeys
from guarded_sora.store.stay_downs import StayDown, StayDownBook
from guarded_sora.store.subjects import Kind, Standing, Subject, SubjectName

__all__ = [
    "ClipRecord",
    "ClipState",
    "ClipStore",
    "FingerprintHit",
    "Grant",
    "GrantBook",
    "GrantUse",
    "Kind",
    "PolicyTexts",
    "Registry",
    "RegistryKeys",
    "Standing",
    "StayDown",
    "StayDownBook",
    "Subject",
    "SubjectName",
]
