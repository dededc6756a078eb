"""Decoding: from a checked file to exact frames, and what that cost."""
