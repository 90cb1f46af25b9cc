"""Fusions: one opinion of many. Equations that the documents name and do not define are ours, and say so."""
