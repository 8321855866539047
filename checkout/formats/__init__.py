"""Other people's recordings: one foreign format a module."""
