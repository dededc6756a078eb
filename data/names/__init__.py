"""Sets of names that take little memory, whatever their number."""
