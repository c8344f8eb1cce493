"""The Pi: packets to flows to verdicts to alerts."""
