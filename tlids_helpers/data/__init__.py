"""Section 5.1: datasets, reading, cleaning, and the split into training, validation and test rows."""
