"""Fit readers of events, and say what is certain of how many they miss."""
