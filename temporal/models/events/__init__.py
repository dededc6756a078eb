"""Events in videos of any length: found coarse to fine, told with start, end, label and score."""
