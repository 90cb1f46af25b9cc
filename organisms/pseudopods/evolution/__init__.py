"""Heads that are born and die while a user's own loop trains them: the harness' decisions in the user's process."""
