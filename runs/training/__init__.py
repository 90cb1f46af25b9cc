"""The trainer's side of a round: an organism's state, its training, its census."""
