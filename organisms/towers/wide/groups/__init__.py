"""Towers of one structure with their parameters in one stack, and the ways to compute them together."""
