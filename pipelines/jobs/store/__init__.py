"""What a job has written: parts that are there as a whole or not at all."""
