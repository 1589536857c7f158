"""Features of registered works: sealed, bounded, forgotten with their work, and kept apart by version."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import Engine, inspect, select, update

from guarded_sora.detectors.fingerprint import hash_picture
from guarded_sora.detectors.keyframes import Keyframe, Still, describe
from guarded_sora.errors import StoreError
from guarded_sora.store import Kind, Registry, RegistryKeys, SubjectName
from guarded_sora.store.migrate import downgrade, upgrade
from guarded_sora.store.registry_tables import work_keyframes
from tests.detectors.test_keyframes import scenery
from tests.guarded_sora.store.test_clips import engine, postgres

__all__ = ["engine", "postgres"]  # fixtures


@pytest.fixture
def registry(engine: Engine) -> Registry:
    return Registry(engine, RegistryKeys(bytes(range(32))))


def described(seed: int) -> Keyframe:
    return describe(Still(second=1.5, luma=np.ascontiguousarray(scenery(seed)[..., 0])))


def enrol(registry: Registry, *seeds: int) -> tuple[str, int]:
    name = "The Quiet Harbour" if 1 in seeds else "A Loud Market"
    subject = registry.add(Kind.WORK, [SubjectName(text=name)])
    hashes = [hash_picture(scenery(seed)) for seed in seeds]
    return subject, registry.add_reference(subject, "clip", hashes, [described(seed) for seed in seeds])


def test_features_come_back_as_they_were_and_go_with_their_work(registry: Registry) -> None:
    subject, reference = enrol(registry, 1, 2)
    other, kept = enrol(registry, 3)
    stored = registry.work_keyframes(most=3)
    assert stored is not None and stored.references == (reference, reference, kept)
    assert [item.bits.tobytes() for item in stored.keyframes] == [
        described(seed).bits.tobytes() for seed in (1, 2, 3)
    ]
    assert stored.keyframes[0].second == 1.5
    assert registry.work_keyframes(most=2) is None
    version = registry.works_version()
    registry.remove(subject)
    left = registry.work_keyframes(most=3)
    assert left is not None and left.references == (kept,)
    assert registry.works_version() != version
    registry.remove(other)
    assert registry.work_keyframes(most=0) is not None


def test_the_database_holds_no_feature_in_clear(registry: Registry, engine: Engine) -> None:
    enrol(registry, 1)
    kept = described(1)
    with engine.connect() as connection:
        (row,) = connection.execute(select(work_keyframes)).all()
    for secret in (kept.bits.tobytes()[:16], kept.cells, kept.packed()[50:80]):
        assert secret not in bytes(row.sealed)


def test_features_of_another_version_are_counted_and_left_out(registry: Registry, engine: Engine) -> None:
    enrol(registry, 1)
    with engine.begin() as connection:
        connection.execute(update(work_keyframes).values(model="older-1"))
    stored = registry.work_keyframes(most=9)
    assert stored is not None and (stored.keyframes, stored.stale) == ((), 1)


def test_a_row_that_was_changed_or_moved_is_no_silent_pass(registry: Registry, engine: Engine) -> None:
    _, reference = enrol(registry, 1, 2)
    keys = RegistryKeys(bytes(range(32)))
    for place, sealed in ((0, b"x" * 40), (1, keys.seal(b"no features", f"keyframe {reference}/1"))):
        with engine.begin() as connection:
            connection.execute(
                update(work_keyframes).where(work_keyframes.c.position == place).values(sealed=sealed)
            )
        with pytest.raises(StoreError, match=r"cannot be (opened|read)"):
            registry.work_keyframes(most=9)
        with engine.begin() as connection:
            right = keys.seal(described(1).packed(), f"keyframe {reference}/{place}")
            connection.execute(
                update(work_keyframes).where(work_keyframes.c.position == place).values(sealed=right)
            )
    assert registry.work_keyframes(most=9) is not None


def _covered(engine: Engine) -> bool:
    """Whether PostgreSQL's index carries the hash; on SQLite the table itself does."""
    if engine.dialect.name != "postgresql":
        return True
    with engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT bool_and(indexdef LIKE '%%INCLUDE (bits)') FROM pg_indexes "
            "WHERE indexname IN ('work_bands_pkey', 'fingerprint_bands_pkey')"
        ).scalar()
    return bool(found)


def test_works_are_found_before_and_after_the_schema_goes_down_and_up(
    registry: Registry, engine: Engine
) -> None:
    subject, reference = enrol(registry, 1, 2)
    bits = hash_picture(scenery(2)).bits
    assert _covered(engine)
    assert [hit.reference for hit in registry.resembling_works(bits)] == [reference]
    downgrade(engine, "0005")
    assert "work_keyframes" not in inspect(engine).get_table_names()
    assert engine.dialect.name != "postgresql" or not _covered(engine)
    assert [hit.reference for hit in Registry(engine, RegistryKeys(bytes(32))).resembling_works(bits)] == [
        reference
    ]
    upgrade(engine)
    assert _covered(engine)
    assert [(hit.reference, hit.distance) for hit in registry.resembling_works(bits)] == [(reference, 0)]
    stored = registry.work_keyframes(most=9)
    assert stored is not None and stored.keyframes == ()
    registry.remove(subject)
    assert registry.resembling_works(bits) == ()
