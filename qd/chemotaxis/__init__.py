"""Which elites become parents: a rule, sources whose smell an organism follows, or all alike."""
