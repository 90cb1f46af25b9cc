"""Exports: a model as one program of torch's plain operations, and the formats that are made of it."""
