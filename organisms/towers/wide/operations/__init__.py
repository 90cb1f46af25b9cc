"""The operations of a tower, listed, and what does each of them for many towers at once."""
