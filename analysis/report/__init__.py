"""A run or an experiment as one page of HTML that asks for nothing else: no network, no fonts, no other file."""
