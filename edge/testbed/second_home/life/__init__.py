"""What the second home's people and devices do all day."""
