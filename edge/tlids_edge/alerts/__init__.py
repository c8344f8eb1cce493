"""Verdicts go out: EVE lines, files, standard output, MQTT."""
