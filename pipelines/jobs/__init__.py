"""Jobs over collections: rows that are committed once, whatever happens."""
