"""Experiments: arms and seeds, one run for each pair of them, and what the runs say about the arms."""
