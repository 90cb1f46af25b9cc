"""Families whose components add to a residual stream: organism, probe, assay, and the adapter that they share."""
