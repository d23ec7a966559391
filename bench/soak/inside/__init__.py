"""What runs inside the watched server: its folder goes on the server's PYTHONPATH."""
