"""Pseudopods: attention heads as low-rank circuits that live and die."""
