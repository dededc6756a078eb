"""Readers that answer with vectors."""
