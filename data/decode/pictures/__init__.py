"""From decoded frames to arrays: upright, scaled, kept."""
