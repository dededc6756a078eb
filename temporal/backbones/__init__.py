"""What readers compute features with: image and text encoders, and what they take as input."""
