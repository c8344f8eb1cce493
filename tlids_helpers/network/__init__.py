"""Section 4: the network, how it is trained, and how it is transferred."""
