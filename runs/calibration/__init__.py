"""Calibration: what is fixed before round 1, found, stored, read back or borrowed from another run."""
