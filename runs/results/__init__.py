"""What a finished run came to: its summary, and what its best organism predicts."""
