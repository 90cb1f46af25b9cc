"""Towers and collectives that are made of configurations, and the projections between shapes."""
