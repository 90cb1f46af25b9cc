"""What is asked of the finished runs of an experiment beyond the numbers that each of them came to."""
