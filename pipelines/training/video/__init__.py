"""Training of readers of videos: what `finetune_video.py` calls."""
