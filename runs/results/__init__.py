"""Results of a run: its summary, and the predictions of its best organism."""
