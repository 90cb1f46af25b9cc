"""Experts: feed-forward networks of which a router gives each token a few."""
