"""Runs for programs that track experiments: one thin exporter each."""
