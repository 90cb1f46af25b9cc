"""Runs as they go on, shown in a browser: what is read of them, when, and who may look."""
