"""The token-token matrix of a flow: patterns mixed, positions chosen, and what they move."""
