"""Trainings of readers on files of texts and clips: what the fine-tuning scripts call."""
