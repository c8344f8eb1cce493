"""The commands `tlids-edge` and `tlids-meter`."""
