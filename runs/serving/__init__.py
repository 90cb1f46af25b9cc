"""Serving trained models over HTTP: caches, an engine of continuous batches, and the server around it."""
