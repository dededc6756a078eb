"""The task that finds events in videos."""
