"""Errors of the detectors package.

DetectorError
└── WeightsInvalid   weights are missing or their sha256 is not the pinned one
"""


class DetectorError(Exception):
    """Root of every error this package raises on purpose; ``code`` is stable."""

    code = "detector"


class WeightsInvalid(DetectorError):
    code = "detector.weights_invalid"
