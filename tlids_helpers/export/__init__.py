"""Section 5.3: from Keras to LiteRT, and the card that travels with the model."""
