"""Organisms: networks whose parts live and die, one folder per family of parts."""
