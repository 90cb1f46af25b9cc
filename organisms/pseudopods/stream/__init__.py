"""Models of pseudopods that read a stream chunk by chunk, and carry a state."""
