"""Quality diversity: values and pure functions on NumPy, without torch, I/O or a clock."""
