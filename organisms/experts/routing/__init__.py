"""Routers: which experts each token is given to, with what weight, and at what loss."""
