"""Where a run is written and read: in place, until it is complete elsewhere, in a store."""
