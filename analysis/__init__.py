"""Pictures and frames of runs: functions from a frame and axes to axes."""
