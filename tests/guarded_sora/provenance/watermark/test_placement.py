import cv2
import numpy as np
import pytest

from guarded_sora.detectors.fingerprint import fingerprint, match, match_placed, pictures
from guarded_sora.provenance.watermark.contract import Geometry
from guarded_sora.provenance.watermark.placement import MOST, placements
from tests.guarded_sora.provenance.watermark.films import Frames, batches, flat, textured

ORIGINAL = (360, 640)
FILM = textured(count=2, size=ORIGINAL, seed=50)


def _found(copy: Frames, geometry: Geometry, film: Frames = FILM) -> tuple[float, float]:
    spots = placements(geometry, copy.shape[1:3], ORIGINAL)
    result = match_placed(list(pictures(batches(copy))), fingerprint(batches(film)), spots)
    return result.similarity, result.distance


def test_identity_lies_on_itself() -> None:
    assert any(
        np.allclose(spot, ((1, 0, 0), (0, 1, 0)), atol=1e-9)
        for spot in placements(Geometry(), ORIGINAL, ORIGINAL)
    )


def test_crop_is_matched_by_its_cells_where_whole_hashes_fail() -> None:
    top, left = 40, 150
    copy = FILM[:, top : top + 270, left : left + 430]
    # The tile of the original begins at a negative place of the copy.
    geometry = Geometry(scale=360 / 270, shift=(-left % 128, -top % 128))
    similarity, distance = _found(copy, geometry)
    assert similarity == 1.0
    assert distance < 20
    assert match(fingerprint(batches(copy)), fingerprint(batches(FILM))).similarity == 0.0


def test_mirrored_and_enlarged_crop_is_matched() -> None:
    copy = np.stack([cv2.resize(f[30:300, 60:540], (640, 360))[:, ::-1] for f in FILM])
    geometry = Geometry(scale=360 / 270, flip=True, shift=(-60 % 128, -30 % 128))
    similarity, distance = _found(copy, geometry)
    assert similarity == 1.0
    assert distance < 25


@pytest.mark.parametrize("seed", [60, 61, 62])
def test_other_content_under_the_same_geometry_is_not_matched(seed: int) -> None:
    other = textured(count=2, size=ORIGINAL, seed=seed)
    copy = other[:, 40:310, 150:580]
    similarity, distance = _found(copy, Geometry(scale=360 / 270, shift=(-150 % 128, -40 % 128)))
    assert similarity == 0.0
    assert distance > 64


def test_nothing_to_compare_is_no_match() -> None:
    black = np.zeros((2, *ORIGINAL, 3), dtype=np.uint8)
    assert _found(black, Geometry())[0] == 0.0
    assert (
        match_placed([], fingerprint(batches(FILM)), placements(Geometry(), ORIGINAL, ORIGINAL)).distance
        == 256
    )
    assert match_placed(list(pictures(batches(flat(1)))), (), ()).similarity == 0.0


def test_number_of_placements_is_bounded() -> None:
    assert 0 < len(placements(Geometry(scale=2.3), (360, 8000), (360, 90000))) <= MOST
