"""What a run leaves behind: low-rank factors, content-addressed blobs, the journal and its readers."""
