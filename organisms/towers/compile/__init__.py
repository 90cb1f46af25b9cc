"""Any module, looked into: what in it is of one structure, and what of that can be computed together."""
