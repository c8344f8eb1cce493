"""Packets become flows: the meter, nDPI's application ids, labels, tables of flows."""
