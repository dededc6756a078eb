"""What a file is, before any decoder sees it."""
