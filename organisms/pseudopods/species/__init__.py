"""The adapter that makes pseudopods a family of components of the harness."""
