"""Weighing: from load-cell samples to weight steps."""
