"""Sections 5.3 and 5.4: the recorded smart home, and the exported model replayed on it."""
