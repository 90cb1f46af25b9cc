"""Towers of convolutions, which read images, latents of autoencoders, or sequences, and give one opinion."""
