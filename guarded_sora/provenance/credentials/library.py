"""The one place that configures the C2PA library.

The library's own defaults fetch URLs named inside a file and accept bytes hidden in free space.
Nothing in this project may open a ``Reader`` or ``Builder`` without a context from here.
"""

from __future__ import annotations

from typing import Any

from guarded_sora.errors import ProvenanceError
from guarded_sora.provenance.credentials.certificates import CLAIM_SIGNING, DOCUMENT_SIGNING
from guarded_sora.provenance.credentials.trust import Trust

MAX_STORE_MIB = 16
"""Largest manifest store that is read, compressed or not, in MiB."""


def safe_settings(trust: Trust) -> dict[str, Any]:
    """Settings that open no connection unless ``trust`` names hosts, and hide no bytes from the hash.

    ``trust_config`` must be global: the same key inside an anchor list does not widen the accepted
    purposes, and a claim-signing leaf would then read as invalid.
    """
    hosts = list(dict.fromkeys(trust.remote_hosts + trust.ocsp_hosts))
    return {
        "version": 1,
        "verify": {
            "verify_trust": True,
            "verify_timestamp_trust": True,
            "verify_after_sign": True,
            "verify_after_sign_hash": True,
            "ocsp_fetch": bool(trust.ocsp_hosts),
            "remote_manifest_fetch": bool(trust.remote_hosts),
        },
        "core": {
            "allowed_network_hosts": hosts,
            "allow_redirects": False,
            "max_decompressed_manifest_size_in_mb": MAX_STORE_MIB,
            "decode_identity_assertions": False,  # would need a network look-up of the identity
        },
        "builder": {
            "thumbnail": {"enabled": False},
            "bmff_hash_exclude_free_and_skip_boxes": False,
        },
        "trust": {
            "trust_config": f"{CLAIM_SIGNING.dotted_string}\n{DOCUMENT_SIGNING.dotted_string}",
            "anchors": trust.anchors(),
        },
    }


def open_context(trust: Trust) -> Any:
    """A library context with :func:`safe_settings`; a context manager.

    Raises ``ProvenanceError`` when the library refuses the settings.
    """
    import c2pa

    try:
        return c2pa.Context.from_dict(safe_settings(trust))
    except c2pa.C2paError as error:
        raise ProvenanceError(
            "The C2PA library refused our settings; install the version named in constraints.txt."
        ) from error
