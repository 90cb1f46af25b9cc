"""Pseudopods: low-rank attention heads that live and die; ``organisms.pseudopods.species`` makes them a family."""
