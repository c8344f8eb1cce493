"""What the second home's devices and the world outside answer with."""
