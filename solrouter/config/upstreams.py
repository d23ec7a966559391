"""Settings of providers: how long they may take, and their keys."""

from solrouter.config.setting import Setting
from solrouter.config.values import flag, positive, seconds, text

UPSTREAMS: tuple[Setting, ...] = (
    Setting(
        "SOLROUTER_CONNECT_S", "5", seconds, "Deadline for connecting to an upstream.", "Upstreams"
    ),
    Setting(
        "SOLROUTER_FIRST_TOKEN_S",
        "120",
        seconds,
        "Deadline for an upstream's first content; for an answer in one piece, as long as another "
        "offer could be asked instead, that is all of it.",
        "Upstreams",
    ),
    Setting(
        "SOLROUTER_BETWEEN_CHUNKS_S",
        "120",
        seconds,
        "Deadline for silence in the middle of an answer.",
        "Upstreams",
    ),
    Setting(
        "SOLROUTER_PINGS_S",
        "750",
        seconds,
        "Deadline for an upstream that sends pings, comments or empty chunks and no content in the "
        "middle of an answer. Models have thought for twelve minutes so; before the first content "
        "pings do not count at all.",
        "Upstreams",
    ),
    Setting("SOLROUTER_TOTAL_S", "900", seconds, "Deadline for a whole answer.", "Upstreams"),
    Setting(
        "SOLROUTER_ATTEMPTS_MAX",
        "4",
        positive,
        "The most offers tried for one request.",
        "Upstreams",
    ),
    Setting(
        "SOLROUTER_FAILOVER_S",
        "180",
        seconds,
        "How long after its start a request may still turn to another offer.",
        "Upstreams",
    ),
    Setting(
        "SOLROUTER_DEMO",
        "",
        flag,
        "Offers the built-in `demo` provider in production too. Always on in development.",
        "Upstreams",
    ),
    Setting(
        "OPENAI_API_KEY",
        "",
        text,
        "Brings the OpenAI models to life.",
        "Provider keys",
        secret=True,
    ),
    Setting(
        "ANTHROPIC_API_KEY",
        "",
        text,
        "Brings the Claude models to life.",
        "Provider keys",
        secret=True,
    ),
    Setting(
        "GEMINI_API_KEY",
        "",
        text,
        "Brings the Gemini models to life.",
        "Provider keys",
        secret=True,
    ),
    Setting(
        "GOOGLE_API_KEY",
        "",
        text,
        "Another name for `GEMINI_API_KEY`.",
        "Provider keys",
        secret=True,
    ),
    Setting(
        "DEEPSEEK_API_KEY",
        "",
        text,
        "Brings the DeepSeek models to life.",
        "Provider keys",
        secret=True,
    ),
    Setting(
        "MISTRAL_API_KEY",
        "",
        text,
        "Brings the Mistral models to life.",
        "Provider keys",
        secret=True,
    ),
    Setting(
        "XAI_API_KEY", "", text, "Brings the Grok models to life.", "Provider keys", secret=True
    ),
    Setting(
        "GROQ_API_KEY", "", text, "Offers open models through Groq.", "Provider keys", secret=True
    ),
    Setting(
        "TOGETHER_API_KEY",
        "",
        text,
        "Offers open models through Together AI.",
        "Provider keys",
        secret=True,
    ),
    Setting(
        "FIREWORKS_API_KEY",
        "",
        text,
        "Offers open models through Fireworks AI.",
        "Provider keys",
        secret=True,
    ),
    Setting(
        "CEREBRAS_API_KEY",
        "",
        text,
        "Offers open models through Cerebras.",
        "Provider keys",
        secret=True,
    ),
    Setting(
        "DEEPINFRA_API_KEY",
        "",
        text,
        "Offers open models through DeepInfra.",
        "Provider keys",
        secret=True,
    ),
    Setting(
        "OPENROUTER_API_KEY",
        "",
        text,
        "Offers further models through OpenRouter.",
        "Provider keys",
        secret=True,
    ),
    Setting("META_API_KEY", "", text, "Offers Meta's own API.", "Provider keys", secret=True),
    Setting(
        "MOONSHOT_API_KEY",
        "",
        text,
        "Brings the Kimi models to life.",
        "Provider keys",
        secret=True,
    ),
)
