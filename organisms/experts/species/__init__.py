"""The adapter that makes experts a family of components of the harness."""
