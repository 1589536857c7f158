"""Who signs for this installation, what time it gets, and whom it trusts: settings turned into values."""

from __future__ import annotations

from pathlib import Path

from guarded_sora.errors import ProvenanceError, UsageError
from guarded_sora.keys import KeyRing
from guarded_sora.plugins import load_plugins
from guarded_sora.provenance.credentials.certificates import load_certificates, to_pem
from guarded_sora.provenance.credentials.signer import (
    FileKeySigner,
    RemoteSigner,
    Signer,
    with_timestamp,
)
from guarded_sora.provenance.credentials.timestamps import TimestampPolicy
from guarded_sora.provenance.credentials.trust import Trust, join_pem
from guarded_sora.provenance.credentials.trust_store import held_list
from guarded_sora.settings import Settings

OWN_LEAVES = "own-leaves.pem"


def open_signer(settings: Settings, keys: KeyRing) -> Signer:
    """The signer that the settings name, with the timestamp authority they name.

    Raises:
        UsageError: a setting is missing, or no installed package offers the plug-in.
        ProvenanceError: an address or a chain that cannot be used.
    """
    chosen = settings.signer
    signer: Signer
    if chosen.kind == "file":
        signer = FileKeySigner(chain_pem=keys.chain_pem, key_pem=keys.chain_key_pem)
    elif chosen.kind == "remote":
        if chosen.url is None or chosen.chain is None:
            raise UsageError(
                "A remote signer needs its address and its certificates; set GUARDED_SORA_SIGNER_URL and "
                "GUARDED_SORA_SIGNER_CHAIN."
            )
        signer = RemoteSigner(
            url=chosen.url,
            chain_pem=_read(chosen.chain),
            algorithm=chosen.algorithm,
            token=chosen.token.get_secret_value(),
        )
    else:
        (signer,) = load_plugins("signers", [chosen.kind])
        if not isinstance(signer, Signer):
            raise UsageError(
                f"The signers plug-in {chosen.kind!r} is no signer; take it out of the settings."
            )
    return signer if settings.timestamp.url is None else with_timestamp(signer, settings.timestamp.url)


def open_trust(settings: Settings, keys: KeyRing, signer: Signer) -> Trust:
    """Our own root, the lists in force, and the hosts that may be asked.

    A signing certificate that the key ring did not issue is remembered under ``home/trust``, so that films
    stay ours when it is renewed.

    Raises:
        UsageError: a file of the settings cannot be read.
        ProvenanceError: a list that is damaged, or one that holds no authorities.
    """
    folder, extra = settings.trust, settings.timestamp.anchors
    held = {purpose: held_list(folder, purpose) for purpose in ("claims", "time", "revoked")}
    root = settings.signer.root
    return Trust(
        own_root_pem=join_pem([keys.root_pem, _read(root) if root else b""]),
        own_leaves_pem=_own_leaves(folder, keys, signer),
        claim_anchors_pem=held["claims"].data,
        tsa_anchors_pem=join_pem([held["time"].data, _read(extra) if extra else b""]),
        revoked=held["revoked"].revoked,
        ocsp_hosts=settings.ocsp_hosts,
        remote_hosts=settings.remote_hosts,
    )


def timestamp_policy(settings: Settings) -> TimestampPolicy:
    """How often the authority is asked, and whether a film is signed without it."""
    chosen = settings.timestamp
    return TimestampPolicy(
        required=chosen.when_down == "refuse",
        attempts=chosen.attempts,
        pause=chosen.pause,
        timeout=chosen.timeout,
    )


def _own_leaves(folder: Path, keys: KeyRing, signer: Signer) -> bytes:
    path = folder / OWN_LEAVES
    known = _read(path) if path.exists() else b""
    if signer.chain_pem == keys.chain_pem:
        return known
    leaf = to_pem(load_certificates(signer.chain_pem)[0])
    if leaf in known:
        return known
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(leaf)
    except OSError as error:
        raise ProvenanceError(
            f"The signing certificate could not be noted in {path} ({error.strerror}); "
            "make the folder writable."
        ) from error
    return known + leaf


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror}); check the path in the settings."
        ) from error
