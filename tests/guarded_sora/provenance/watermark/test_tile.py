import numpy as np

from guarded_sora.provenance.watermark.keys import DATA_CLASSES, MarkKey
from guarded_sora.provenance.watermark.tile import data_layout, spreads


def test_spreads_gather_what_the_single_layouts_gather() -> None:
    keys = tuple(MarkKey(secret=b"s" * 32, epoch=2, tenant=name) for name in ("a", "b"))
    weighted = np.random.default_rng(1).standard_normal(1912).astype(np.float32)
    together = spreads(keys).gather(weighted)
    assert together.shape == (2, DATA_CLASSES, 384)
    for row, key in enumerate(keys):
        for data_class in range(DATA_CLASSES):
            alone = data_layout(key, data_class).gather(weighted)
            assert np.allclose(together[row, data_class], alone, atol=1e-5)
