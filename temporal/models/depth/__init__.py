"""Readers of texts over depth: exits between an encoder's layers, tokens that are dropped."""
