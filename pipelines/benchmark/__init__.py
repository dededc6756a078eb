"""A reader beside its baselines on labelled data: one run, one set of inputs."""
