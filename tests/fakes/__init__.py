"""Third parties as real programs on real sockets: they stand in for others, never for ourselves."""
