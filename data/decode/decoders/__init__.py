"""From packets to exact frames, by each decoder."""
