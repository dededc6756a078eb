"""Videos found by words: an index of few vectors per video, refined where a query ranks high."""
