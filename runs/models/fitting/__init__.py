"""The parts of a training: batches, groups of parameters, schedules, averages, steps, the log and the folder."""
