"""From a router's decision to what the experts put out: rows sorted or padded, and their products."""
