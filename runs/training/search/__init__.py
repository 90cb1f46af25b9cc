"""Search in the frozen hosts: the jobs of emitters, and the second look at elites."""
