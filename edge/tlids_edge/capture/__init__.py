"""Packets in: capture files and streams, link layers, packet headers, the capturing child process."""
