"""Programs that measure SolRouter from outside: over sockets, on both databases."""
