"""Emitters: children of elites, made and scored between two rounds, and who is asked for how many of them."""
