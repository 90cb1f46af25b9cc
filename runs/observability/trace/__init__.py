"""Spans of orders and commits, and where they go."""
