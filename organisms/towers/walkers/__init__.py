"""Walkers: paths from one opinion to another, and one tensor of what lies on them."""
