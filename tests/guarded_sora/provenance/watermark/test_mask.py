import numpy as np

from guarded_sora.provenance.watermark.mask import add_to_rgb


def test_levels_are_added_to_all_channels_and_saturate() -> None:
    rng = np.random.default_rng(6)
    frame = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    levels = rng.integers(-400, 400, (40, 50)).astype(np.int16)
    expected = np.clip(frame.astype(int) + levels[..., None], 0, 255)
    assert np.array_equal(add_to_rgb(frame, levels), expected)
    batch = np.zeros((2, *frame.shape), dtype=np.uint8)
    add_to_rgb(frame, levels, batch[1])
    assert np.array_equal(batch[1], expected) and not batch[0].any()
