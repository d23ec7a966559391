"""USDC on Solana, paid by a Solana Pay transfer request and verified over JSON-RPC."""
