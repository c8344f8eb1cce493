"""Flows become verdicts: the model and its card, and the rules for what flows cannot show."""
