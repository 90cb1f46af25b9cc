"""Births on the trainer's side: how newborns are made of their parents, and which of them an organism takes."""
