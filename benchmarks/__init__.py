"""Speed and accuracy figures, each printed by one command."""
