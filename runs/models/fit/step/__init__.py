"""What an optimizer step does: batches, answers, gradients, groups of parameters, schedules, averages and state."""
