"""The task of predicting a column of a user's table."""
