"""Sections 5.2 and 6: scores, finished runs, and the published tables beside ours."""
