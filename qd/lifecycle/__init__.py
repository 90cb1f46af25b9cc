"""Births, deaths and quarantine: the decisions that follow from a census and a view of the archive."""
