"""Attacks for which no packaged program is at hand; each is bounded by a count and by a time of its own."""
