"""The subcommands for those who look after runs: what is measured of them, and where it goes."""
