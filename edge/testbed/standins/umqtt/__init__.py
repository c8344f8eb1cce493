"""MicroPython's MQTT package, for the testbed."""
