"""Good frames of a video, chosen by what is cheap to know of it: `temporal.select`."""
