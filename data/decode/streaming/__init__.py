"""Reading forward, without an index and without an end."""
