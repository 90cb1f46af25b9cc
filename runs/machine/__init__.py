"""The machine under a run: its settings, its fingerprint, and what it interrupts."""
