"""Whether a behaviour space means anything: KMO, Bartlett's test, correlations, reliability."""
