"""Video-language models that read a video until they are certain of their answer."""
