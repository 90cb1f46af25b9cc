"""Models that are trained on their own: what they read, how they are made, trained, kept, compared and exported."""
