"""Addresses of towers on a plane, a sphere or in a ball, and the messages that they exchange by distance."""
