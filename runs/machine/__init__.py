"""The machine under a run: settings, fingerprint, digests of source, moves between machines, and requests to stop."""
