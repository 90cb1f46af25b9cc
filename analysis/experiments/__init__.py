"""Pictures of the arms of an experiment: how they go on, how their scores are spread, and what they lose with parts."""
