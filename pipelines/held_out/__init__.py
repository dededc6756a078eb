"""Rows that a reader is judged by: which they are, and whether it has seen them."""
