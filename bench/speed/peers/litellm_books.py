"""Keys and spend rows for LiteLLM's proxy, in PostgreSQL. Runs in LiteLLM's own environment.

Each request looks its key up by digest, with its budget; each answer adds a row and the key's
spend, in one transaction. That is less than what SolRouter does: nothing is held beforehand.
"""

import asyncio
import hashlib
import os
from datetime import datetime
from typing import Any

import asyncpg
from fastapi import Request
from litellm.integrations.custom_logger import CustomLogger
from litellm.proxy._types import UserAPIKeyAuth

TABLES = """
CREATE TABLE IF NOT EXISTS keys (
    digest text PRIMARY KEY, spend numeric NOT NULL DEFAULT 0, budget numeric NOT NULL);
CREATE TABLE IF NOT EXISTS spend_rows (
    id bigserial PRIMARY KEY, digest text NOT NULL, model text NOT NULL, prompt_tokens int NOT NULL,
    completion_tokens int NOT NULL, spend numeric NOT NULL, ended_at timestamptz NOT NULL
    DEFAULT now());
"""
FIND = "SELECT 1 FROM keys WHERE digest = $1 AND spend < budget"
ADD = (
    "WITH row AS (INSERT INTO spend_rows (digest, model, prompt_tokens, completion_tokens, spend)"
    " VALUES ($1, $2, $3, $4, $5)) UPDATE keys SET spend = spend + $5 WHERE digest = $1"
)
CONNECTIONS_MAX = 10
_pool: list[asyncpg.Pool] = []
_opening = asyncio.Lock()


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


async def _connections() -> asyncpg.Pool:
    async with _opening:
        if not _pool:
            pool = await asyncpg.create_pool(
                os.environ["BENCH_DATABASE_URL"], min_size=2, max_size=CONNECTIONS_MAX
            )
            await pool.execute(TABLES)
            await pool.execute(
                "INSERT INTO keys (digest, budget) VALUES ($1, 1000000) ON CONFLICT DO NOTHING",
                _digest(os.environ["BENCH_KEY"]),
            )
            _pool.append(pool)
    return _pool[0]


async def authenticate(request: Request, api_key: str) -> UserAPIKeyAuth:
    """Lets a key in whose spend is below its budget."""
    del request
    digest = _digest(api_key)
    if await (await _connections()).fetchval(FIND, digest) is None:
        raise PermissionError("unknown key, or its budget is spent")
    return UserAPIKeyAuth(api_key=digest)


class Books(CustomLogger):
    """Writes a row for each answer."""

    async def async_log_success_event(
        self, kwargs: dict[str, Any], response_obj: object, start_time: datetime, end_time: datetime
    ) -> None:
        """LiteLLM calls this when an answer is complete."""
        del start_time, end_time
        usage = getattr(response_obj, "usage", None)
        await (await _connections()).execute(
            ADD,
            _digest(os.environ["BENCH_KEY"]),
            kwargs.get("model", ""),
            getattr(usage, "prompt_tokens", 0) or 0,
            getattr(usage, "completion_tokens", 0) or 0,
            kwargs.get("response_cost") or 0,
        )


books = Books()
