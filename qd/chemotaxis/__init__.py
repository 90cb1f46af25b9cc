"""Which elites become parents: today's rule, sources whose smell an organism follows, or all alike."""
