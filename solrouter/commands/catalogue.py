"""Commands of the catalogue: providers, models, and bringing in what a source says of them."""

import sys

import click
from flask.cli import AppGroup

from solrouter.commands.basics import OPERATOR, USD, say, say_table, told
from solrouter.money import display_per_million
from solrouter.services import catalogue
from solrouter.services.catalogue import Difference, OfferTerms, PriceChange, sync

# A first sync shows thousands of rows; nobody reads more than these.
ROWS_SHOWN_MAX = 200
TOKENS = click.IntRange(1, 10**9)
DATA_WORDS = {"keeps": True, "keeps-not": False, "unknown": None}
DATA_OF = {True: "yes", False: "no", None: "not known"}

providers = AppGroup("providers", help="Who serves the models.")
models = AppGroup("models", help="What can be asked for, and its prices.")
catalogue_ = AppGroup("catalogue", help="The list of models and prices as a whole.")
GROUPS = (providers, models, catalogue_)


@providers.command("add")
@click.argument("slug")
@click.option("--kind", required=True, type=click.Choice(["openai", "anthropic", "google", "demo"]))
@click.option("--base-url", default="", help="What the vendor's own SDK takes as its base URL.")
@click.option("--api-key", help="Stored encrypted.")
@click.option(
    "--server", type=click.Choice(catalogue.SERVERS), help="The program that runs there, if known."
)
@told
def add_provider(
    slug: str, kind: str, base_url: str, api_key: str | None, server: str | None
) -> None:
    """Adds a provider."""
    added = catalogue.add_provider(
        slug=slug, kind=kind, base_url=base_url, api_key=api_key, server=server
    )
    say(f"{'Added' if added else 'There already is'} the provider {slug}.")


@providers.command("list")
@told
def list_providers() -> None:
    """Lists the providers, those that are ready first."""
    for row in catalogue.providers():
        state = "ready" if row.is_ready else "not ready"
        data = f"keeps data: {DATA_OF[row.collects_data]}"
        fields = (row.slug, row.kind, state, f"key: {row.key_source}", row.shown_url, data)
        click.echo("\t".join(fields))


@providers.command("data")
@click.argument("slug")
@click.argument("word", type=click.Choice(list(DATA_WORDS)), metavar="keeps|keeps-not|unknown")
@told
def set_data_collection(slug: str, word: str) -> None:
    """Says whether a provider keeps or trains on prompts.

    A request with `data_collection: "deny"` goes only where it is known that none are kept.
    """
    catalogue.set_data_collection(slug, DATA_WORDS[word], actor=OPERATOR)
    say(f"The provider {slug} keeps data: {DATA_OF[DATA_WORDS[word]]}.")


@models.command("add")
@click.argument("model_id", metavar="AUTHOR/NAME")
@click.option("--provider", required=True, help="The provider's slug.")
@click.option("--upstream", required=True, help="What the provider calls the model.")
@click.option("--input", "input_nanos", required=True, type=USD, help="Price of 1M input tokens.")
@click.option("--output", "output_nanos", required=True, type=USD, help="Of 1M output tokens.")
@click.option("--cost-input", type=USD, help="What the provider charges us. Default: the same.")
@click.option("--cost-output", type=USD, help="What the provider charges us. Default: the same.")
@click.option("--context", required=True, type=TOKENS, help="Context length, in tokens.")
@click.option("--max-output", type=TOKENS, help="Longest answer, in tokens.")
@told
def add_model(
    model_id: str,
    provider: str,
    upstream: str,
    input_nanos: int,
    output_nanos: int,
    cost_input: int | None,
    cost_output: int | None,
    context: int,
    max_output: int | None,
) -> None:
    """Adds a model, or one more provider's offer of a model that is there."""
    added = catalogue.add_offer(
        OfferTerms(
            model_id=model_id,
            provider_slug=provider,
            upstream_model=upstream,
            input_nanos=input_nanos,
            output_nanos=output_nanos,
            context_tokens=context,
            output_tokens_max=max_output,
            cost_input_nanos=cost_input,
            cost_output_nanos=cost_output,
        )
    )
    say(f"{'Added' if added else 'There already is'} {model_id} at {provider}.")


@models.command("list")
@told
def list_models() -> None:
    """Lists the models with the price of their cheapest offer, per million tokens."""
    for model in catalogue.listing():
        state = "available" if model.is_available else "unavailable"
        paid_in = display_per_million(model.input_nanos)
        prices = f"{paid_in} in, {display_per_million(model.output_nanos)} out"
        instead = f"\t→ {model.replaced_by}" if model.replaced_by else ""
        click.echo(f"{model.id}\t{state}\t{prices}{instead}")


@catalogue_.command("sync")
@click.option("--source", metavar="FILE|URL", help="A catalogue. Default: the packaged one.")
@click.option("--accept", is_flag=True, help="Do it even if some of it is hard to believe.")
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask: for scripts.")
@told
def sync_catalogue(source: str | None, accept: bool, dry_run: bool, yes: bool) -> None:
    """Brings models, offers and prices to what a source says.

    Shows the difference first. Prices are appended and never rewritten; what an operator made or
    priced by hand stays. docs/catalogue.md has the rules and the format.
    """
    document, label = sync.load(source)
    found = sync.difference(document)
    if found.is_empty:
        say(f"There is nothing to change: the catalogue is what {label} says.")
        return
    _show(found)
    if found.jumps and not accept:
        if dry_run:
            say("Nothing was changed: this was a dry run. A sync would ask for --accept.")
            sys.exit(1)
        raise click.ClickException(
            "Nothing was changed: this is hard to believe. Say --accept if all of it is true."
        )
    if dry_run:
        say("Nothing was changed: this was a dry run.")
        return
    if not yes:
        _ask()
    sync.apply(document, found, label=label, accept=accept, actor=OPERATOR)
    say("The catalogue is up to date. Running servers notice by themselves.")


def _ask() -> None:
    """Asks a person; where there is none, says what a script must say."""
    if not sys.stdin.isatty():
        raise click.ClickException("Nothing was changed: say --yes where nobody can be asked.")
    click.confirm("Change the catalogue so?", abort=True, err=True)


def _show(found: Difference) -> None:
    rows = [(entry.verb, entry.kind, entry.name, entry.note) for entry in found.entries]
    say_table(("", "what", "name", ""), rows[:ROWS_SHOWN_MAX])
    if rows:
        say(f"… and {len(rows) - ROWS_SHOWN_MAX} more\n" if len(rows) > ROWS_SHOWN_MAX else "")
    prices = [_price_row(change) for change in found.prices]
    say_table(
        ("price per 1M", "side", "of", "old", "new", "change", "from"),
        prices[:ROWS_SHOWN_MAX],
        right="old new change",
    )
    if prices:
        say(f"… and {len(prices) - ROWS_SHOWN_MAX} more\n" if len(prices) > ROWS_SHOWN_MAX else "")
    if found.jumps:
        say("Hard to believe:")
        for jump in found.jumps:
            say(f"  {jump}")
        say("")


def _price_row(change: PriceChange) -> tuple[str, ...]:
    return (
        change.offer,
        change.side,
        change.name,
        _price(change.old),
        _price(change.new),
        change.percent,
        change.begins.strftime("%Y-%m-%d %H:%M UTC") if change.begins else "now",
    )


def _price(nanos: int | None) -> str:
    return "—" if nanos is None else display_per_million(nanos)
