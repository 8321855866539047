"""Judging perception by the truth: detections, shelf events, receipts, calibration, and the profile."""
