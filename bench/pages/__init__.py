"""How long every page takes, and how often it asks the database, when there is much history."""
