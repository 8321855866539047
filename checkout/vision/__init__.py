"""Seeing: from pixels to hands, items, people and shelf moments."""
