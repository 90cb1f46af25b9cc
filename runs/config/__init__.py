"""The configuration: sections, rules between them, the whole, and reading it from files and overrides."""
