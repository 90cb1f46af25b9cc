"""Service-level objectives of runs: what the journal says of them."""
