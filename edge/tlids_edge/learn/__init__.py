"""A model learns the home it is put into: keep the home's flows, retrain the head on them, promise, tell the new."""
