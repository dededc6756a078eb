"""Ranks that share their work: each takes the next groups of inputs when it has done its own."""
