"""Ids of texts as the reference tokenizer gives them, by a faster library that is checked."""
