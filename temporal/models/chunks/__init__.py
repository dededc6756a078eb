"""Readers of long texts, chunk by chunk."""
