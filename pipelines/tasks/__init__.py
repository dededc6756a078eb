"""Tasks: what each needs of a pipeline."""

from temporal.moved import names_of

# This room has the name of a module that lies in it now.
__getattr__ = names_of("temporal.pipelines.tasks.names")
