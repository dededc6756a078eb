"""Runs and readings, drawn and written out."""
