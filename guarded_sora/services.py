"""Services: the frozen bundle of everything the guard and the verifier work with."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import Engine

from guarded_sora.audit.cases import CaseBook
from guarded_sora.audit.entry import Event, uuid7
from guarded_sora.audit.log import AuditLog
from guarded_sora.database import log_in_use, open_engine
from guarded_sora.detectors.check import FrameCheck, default_frame_checks
from guarded_sora.detectors.errors import DetectorError
from guarded_sora.detectors.synthetic import SyntheticDetector, open_detector
from guarded_sora.errors import UsageError
from guarded_sora.generation.contract import VideoBackend
from guarded_sora.keys import KeyRing, open_keys, renew_signing
from guarded_sora.mark_keys import MarkKeys, open_mark_keys
from guarded_sora.media import MediaLimits
from guarded_sora.plugins import load_plugins
from guarded_sora.policies.adapters import load_prompt_cards
from guarded_sora.policies.engine import PolicyEngine
from guarded_sora.policies.errors import PolicyError
from guarded_sora.policies.finding import Decision
from guarded_sora.policies.pack import load_pack
from guarded_sora.policies.rewrite import Rewrite, rewrite_prompt
from guarded_sora.policies.text.check import PromptCheck, default_prompt_checks
from guarded_sora.policies.text.protected import ProtectedNamesCheck
from guarded_sora.provenance.credentials.certificates import load_certificates
from guarded_sora.provenance.credentials.signer import Signer
from guarded_sora.provenance.credentials.timestamps import TimestampPolicy
from guarded_sora.provenance.credentials.trust import Trust
from guarded_sora.provenance.watermark.contract import Watermark
from guarded_sora.provenance.watermark.invisible import public_constants
from guarded_sora.provenance.watermark.learned import read_card
from guarded_sora.provenance.watermark.mark import KeyedTileMark
from guarded_sora.provenance.watermark.readers import MarkReader
from guarded_sora.recovery import recover_quietly
from guarded_sora.rollout import Shadow, open_shadow, read_rollout
from guarded_sora.settings import Settings
from guarded_sora.signing import open_signer, open_trust, timestamp_policy
from guarded_sora.store import ClipStore, GrantBook, PolicyTexts, Registry, RegistryKeys, StayDownBook
from guarded_sora.work_folders import sweep
from guarded_sora.worker import Worker

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Services:
    """What one installation is made of. Close it, or use it in a ``with`` block.

    ``backend`` loads the generator on its first call and returns the same one from then on, so
    that verification never pays for it. ``mark_at`` gives the mark of a tenant at a quality in dB.
    ``rewrite`` offers a safer wording for a prompt that may be rewritten, or None. ``limits`` hold for
    films that are verified.
    """

    settings: Settings
    keys: KeyRing
    engine: Engine
    log: AuditLog
    cases: CaseBook
    store: ClipStore
    stay_downs: StayDownBook
    policy_texts: PolicyTexts
    registry_keys: RegistryKeys
    registry: Registry
    grants: GrantBook
    policy: PolicyEngine
    shadow: Shadow | None
    prompt_checks: tuple[PromptCheck, ...]
    frame_checks: tuple[FrameCheck, ...]
    synthetic: Callable[[], SyntheticDetector]
    mark: Watermark
    mark_at: Callable[[float, str], KeyedTileMark]
    mark_keys: MarkKeys
    mark_readers: tuple[MarkReader, ...]
    signer: Signer
    timestamp: TimestampPolicy
    trust: Trust
    worker: Worker
    backend: Callable[[], VideoBackend]
    rewrite: Callable[[str, Decision], Rewrite | None]
    limits: MediaLimits = field(default_factory=MediaLimits)

    def close(self) -> None:
        """Sign a last checkpoint, stop the worker, let go of the database."""
        try:
            self.log.close()
        finally:
            self.worker.close()
            self.engine.dispose()

    def __enter__(self) -> Services:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_services(settings: Settings, *, backend: Any = None) -> Services:
    """Open home, database, keys and pack.

    Args:
        backend: what :func:`guarded_sora.generation.backends.load_backend` takes; None means
            ``settings.backend``. It is loaded when first needed.

    Raises:
        KeyMissing, StoreError, UsageError: each with one sentence on what to do.
    """
    engine = open_engine(settings.home, settings.database_url)
    sweep(settings.work)
    try:
        keys = open_keys(settings.home, organisation=settings.organisation, must_exist=log_in_use(engine))
        renewed = False
        if settings.signer.kind == "file":
            keys, renewed = renew_signing(keys, organisation=settings.organisation)
        log = AuditLog(engine, signing_key=keys.log_key, origin=keys.origin, payload_key=keys.payload_key)
        rollout = read_rollout(settings.home)
        pack = load_pack(settings.pack) if settings.pack or not rollout.decides else rollout.decides.load()
        registry_keys = RegistryKeys(keys.commitment_key)
        registry = Registry(engine, registry_keys)
        signer = open_signer(settings, keys)
        mark_keys = open_mark_keys(keys.folder, keys.mark_secret)

        def mark_at(psnr: float, tenant: str) -> KeyedTileMark:
            return KeyedTileMark(mark_keys.writer(tenant), readers=mark_keys.readers, psnr=psnr)

        services = Services(
            settings=settings,
            keys=keys,
            engine=engine,
            log=log,
            cases=CaseBook(log),
            store=ClipStore(engine, issuer=keys.issuer),
            stay_downs=StayDownBook(engine),
            policy_texts=PolicyTexts(engine),
            registry_keys=registry_keys,
            registry=registry,
            grants=GrantBook(engine, registry_keys),
            policy=PolicyEngine(pack),
            shadow=open_shadow(rollout),
            prompt_checks=(
                *default_prompt_checks(pack),
                ProtectedNamesCheck(registry),
                *load_prompt_cards(settings.prompt_cards),
                *load_plugins("prompt_checks", settings.prompt_checks),
            ),
            frame_checks=(
                *default_frame_checks(gallery=registry, works=registry, cards=settings.detector_cards),
                *load_plugins("detectors", settings.detectors),
            ),
            synthetic=_once(lambda: open_detector(settings.backbones, alpha=settings.synthetic_alpha)),
            mark=KeyedTileMark(mark_keys.readers[0], readers=mark_keys.readers, psnr=settings.mark_psnr),
            mark_at=mark_at,
            mark_keys=mark_keys,
            mark_readers=(public_constants(), *map(read_card, settings.mark_readers)),
            signer=signer,
            timestamp=timestamp_policy(settings),
            trust=open_trust(settings, keys, signer),
            worker=Worker(),
            backend=_once(lambda: _load_backend(settings, settings.backend if backend is None else backend)),
            rewrite=lambda text, decision: rewrite_prompt(pack, text, decision),
        )
        services.policy_texts.keep(pack)
        if renewed:
            log.append([_renewal_event(keys)])
        recover_quietly(services)
        return services
    except (PolicyError, DetectorError) as error:
        engine.dispose()
        raise UsageError(str(error)) from error
    except BaseException:
        engine.dispose()
        raise


def _renewal_event(keys: KeyRing) -> Event:
    leaf = load_certificates(keys.chain_pem)[0]
    body = {"serial": f"{leaf.serial_number:x}", "not_after": leaf.not_valid_after_utc.isoformat()}
    return Event(kind="signing.renewed", actor="system", subject="signing-keys", id=uuid7(), body=body)


def _load_backend(settings: Settings, spec: Any) -> VideoBackend:
    if isinstance(spec, VideoBackend):
        return spec
    if settings.fast or settings.reader is not None:
        if spec not in ("builtin", "auto"):
            raise UsageError(
                "--fast and --reader (or GUARDED_SORA_FAST, _READER) are for the built-in generator alone: "
                "leave them out, or the other generator."
            )
        from guarded_sora.generation.backends.builtin import BuiltinBackend

        if settings.reader is None:
            return BuiltinBackend(fast=settings.fast)
        from guarded_sora.generation.language import load_reader

        return BuiltinBackend(reader=load_reader(settings.reader, settings.reader_model), fast=settings.fast)
    # Late: torch takes seconds to import, and verify must not need it.
    from guarded_sora.generation.backends import load_backend

    return load_backend(spec)


def _once(make: Callable[[], T]) -> Callable[[], T]:
    lock = threading.Lock()
    made: list[T] = []

    def get() -> T:
        with lock:
            if not made:
                made.append(make())
            return made[0]

    return get
