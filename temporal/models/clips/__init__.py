"""The reader of clips: any video classifier, read clip by clip."""
