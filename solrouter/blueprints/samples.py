"""The code samples that pages show: a first request in each language, with this server's address.

They read the key from the environment, as the quickstart teaches; no key's text is ever in them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from solrouter import markdown
from solrouter.services.catalogue import Model

MODEL_OF_THE_QUICKSTART = "openai/gpt-4o-mini"
CURL = """\
curl {base_url}/chat/completions \\
  -H "Authorization: Bearer $SOLROUTER_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{{
    "model": "{model}",
    "messages": [
      {{"role": "user", "content": "What is the meaning of life?"}}
    ]
  }}'"""
PYTHON = """\
import os

from openai import OpenAI

client = OpenAI(
    base_url="{base_url}",
    api_key=os.environ["SOLROUTER_API_KEY"],
)

completion = client.chat.completions.create(
    model="{model}",
    messages=[
        {{"role": "user", "content": "What is the meaning of life?"}},
    ],
)

print(completion.choices[0].message.content)"""
NODE = """\
import OpenAI from "openai";

const client = new OpenAI({{
  baseURL: "{base_url}",
  apiKey: process.env.SOLROUTER_API_KEY,
}});

const completion = await client.chat.completions.create({{
  model: "{model}",
  messages: [
    {{ role: "user", content: "What is the meaning of life?" }},
  ],
}});

console.log(completion.choices[0].message.content);"""
FETCH = """\
const answer = await fetch("{base_url}/chat/completions", {{
  method: "POST",
  headers: {{
    "Authorization": `Bearer ${{process.env.SOLROUTER_API_KEY}}`,
    "Content-Type": "application/json",
  }},
  body: JSON.stringify({{
    model: "{model}",
    messages: [
      {{ role: "user", content: "What is the meaning of life?" }},
    ],
  }}),
}});

const completion = await answer.json();
console.log(completion.choices[0].message.content);"""
LANGUAGES = (
    ("curl", "bash", CURL),
    ("Python", "python", PYTHON),
    ("Node", "javascript", NODE),
    ("fetch", "javascript", FETCH),
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample: the name of its language for people, its text, and its text in colours."""

    title: str
    text: str
    html: Markup


def first_request(model_id: str, *, base_url: str) -> list[Sample]:
    """The first request to a model, in every language that pages show."""
    samples = []
    for title, language, template in LANGUAGES:
        text = template.format(base_url=base_url, model=model_id)
        samples.append(Sample(title, text, markdown.coloured(text, language)))
    return samples


def model_to_try(models: Sequence[Model]) -> str:
    """The quickstart's model where this server can serve it; else one that it can."""
    ready = [model.id for model in models if model.is_available and model.status == "live"]
    if MODEL_OF_THE_QUICKSTART in ready or not ready:
        return MODEL_OF_THE_QUICKSTART
    return ready[0]
