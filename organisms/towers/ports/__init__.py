"""Encoders of texts, images and latents behind one interface, whose weights others have trained."""
