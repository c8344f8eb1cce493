"""What the people of the home and their devices do all day."""
