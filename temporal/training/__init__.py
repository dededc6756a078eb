"""What fine-tuning and calibration need: losses, schedules, thresholds."""
