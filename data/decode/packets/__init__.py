"""What packets tell: the index, and what a read will cost."""
