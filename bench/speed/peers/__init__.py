"""What peers need beside themselves: LiteLLM's books, Portkey's pinned packages."""
