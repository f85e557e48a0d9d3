"""Relative errors, as in test/golden/golden.ts."""
import numpy as np


def relative_error(values, expected) -> tuple[float, float]:
    """The largest |a − b| / the largest |b|, and ‖a − b‖ / ‖b‖."""
    a, b = np.asarray(values, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    error = a - b
    if not error.any():
        return 0.0, 0.0
    return float(np.abs(error).max() / np.abs(b).max()), float(np.linalg.norm(error) / np.linalg.norm(b))
