"""Files behind URLs: which may be read, and reading them in ranges."""
