"""Statistics over seeds: estimates with intervals, paired differences and the probability of improvement."""
