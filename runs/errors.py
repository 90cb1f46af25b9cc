"""What can go wrong on the user's side, as one clear sentence with the exit status that belongs to it."""


class PlasmodiaError(Exception):
    """One sentence: what was wrong, where, and what would be right."""

    exit_status = 1


class ConfigError(PlasmodiaError):
    """The configuration or the command line cannot be used; nothing was written."""

    exit_status = 2


class RunError(PlasmodiaError):
    """A run cannot go on; what is on disk stays usable."""
