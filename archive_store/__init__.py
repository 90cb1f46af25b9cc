"""Storage of runs: low-rank factors, content-addressed blobs, the journal and its readers."""
