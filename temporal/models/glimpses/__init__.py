"""Recurrent readers of frames: each frame says which comes next, and when to stop."""
