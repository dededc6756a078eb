"""Results as rows of a table, whatever the task: made, stored as columns, and added up."""
