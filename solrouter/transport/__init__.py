"""The wire: sockets, pools and deadlines. Knows no dialect, no rows and no web framework."""
