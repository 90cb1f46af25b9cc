"""Every test computes as a run does: the settings are made before any test module can load torch."""

from runs.environment import prepare

prepare()
