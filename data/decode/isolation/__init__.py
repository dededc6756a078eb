"""Decoding in worker processes that can be killed."""
