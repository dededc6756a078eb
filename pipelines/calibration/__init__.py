"""Calibrating a reader on held-out inputs, and checking what was certified on new ones."""
