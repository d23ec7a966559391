"""The domain: verbs and transactions. Knows rows and money, knows no HTTP."""
