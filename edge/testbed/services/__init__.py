"""The programs that serve the home: broker, names, time, remote login, dashboard, and a little of the world outside."""
