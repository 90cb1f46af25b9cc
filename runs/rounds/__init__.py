"""The driver's side of a round: decisions and competition in order, the commit, and recovery of what was lost."""
