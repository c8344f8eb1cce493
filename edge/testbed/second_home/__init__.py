"""Another home than the first: its devices, what they do, and what is done to them."""
