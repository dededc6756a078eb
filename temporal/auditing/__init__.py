"""Watching a certificate: bounds that hold at any time, and a test of being like calibration."""
