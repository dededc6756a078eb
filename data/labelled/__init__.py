"""Labelled texts and clips in files, and how rows of them are held out."""
