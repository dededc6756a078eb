"""Events of videos, written as other programs read them: captions, cut lists, chapters, tables."""
