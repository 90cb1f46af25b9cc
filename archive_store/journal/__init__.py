"""The journal of a run: one SQLite file, its chain of digests and its connections."""
