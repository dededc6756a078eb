"""Readers of videos, one file for each published method."""
