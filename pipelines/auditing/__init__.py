"""Auditing a pipeline while it reads: some inputs are read in full as well, and compared."""
