"""Is a film synthetic? Measurements, a calibrated score, and the word for not knowing."""

from guarded_sora.detectors.synthetic.calibration import Calibration, PublicTest, posterior
from guarded_sora.detectors.synthetic.detect import Facts, SyntheticDetector, SyntheticPlugin, open_detector
from guarded_sora.detectors.synthetic.report import Head, HeadState, Reading, SyntheticReport

__all__ = [
    "Calibration",
    "Facts",
    "Head",
    "HeadState",
    "PublicTest",
    "Reading",
    "SyntheticDetector",
    "SyntheticPlugin",
    "SyntheticReport",
    "open_detector",
    "posterior",
]
