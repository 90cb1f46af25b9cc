"""The subcommands of `plasmodia`: what runs, what looks at runs, and what sets up."""
