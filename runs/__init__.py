"""Runs: configuration, command line, calibration, driver, trainers and replay."""
