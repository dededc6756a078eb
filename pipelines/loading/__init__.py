"""From a name to a reader, and what comes with it."""

from temporal.moved import names_of

# This room has the name of a module that lies in it now.
__getattr__ = names_of("temporal.pipelines.loading.load")
