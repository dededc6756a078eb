"""Tables, lists and containers of inputs: every row is an entry, good or bad."""
