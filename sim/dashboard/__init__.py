"""A local page to look at it all: thresholds, ways of selling, a day in the store, a recording's events."""
