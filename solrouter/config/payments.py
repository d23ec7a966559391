"""Settings of money: prices, gifts, and the ways to pay."""

from solrouter.config.setting import Setting
from solrouter.config.values import (
    amounts,
    base_url,
    dollars,
    dollars_or_none,
    flag,
    margin_percent,
    names,
    percent,
    positive,
    rpc_endpoints,
    seconds,
    solana_address,
    text,
    webhook_secrets,
    whole,
)
from solrouter.solana_clusters import Cluster

MONEY: tuple[Setting, ...] = (
    Setting(
        "SOLROUTER_MARGIN_PERCENT",
        "0",
        margin_percent,
        "What is added to a provider's price when the packaged catalogue sets ours, in percent.",
        "Money",
    ),
    Setting(
        "SOLROUTER_UNRECOVERED_PER_DAY",
        "1",
        dollars,
        "What one account's failed answers may cost the operator in a UTC day, in USD. Past it, a "
        "failure in the middle of an answer costs what was delivered.",
        "Money",
    ),
    Setting(
        "SOLROUTER_UNRECOVERED_PERCENT",
        "2",
        whole,
        "The same, in addition, in percent of what the account was charged in the last 30 days.",
        "Money",
    ),
    Setting("SOLROUTER_DEFAULT_PLAN", "pay-as-you-go", text, "The plan of a new account.", "Money"),
    Setting(
        "SOLROUTER_DEMO_CREDIT_USD",
        "5",
        dollars,
        "Credit of the demo account that development makes.",
        "Money",
    ),
)

PAYMENTS: tuple[Setting, ...] = (
    Setting(
        "SOLROUTER_TOP_UP_PRESETS",
        "10,25,50,100",
        amounts,
        "The amounts that the balance page offers, in USD, separated by commas.",
        "Payments",
    ),
    Setting("SOLROUTER_TOP_UP_MIN", "5", dollars, "The least of one top-up, in USD.", "Payments"),
    Setting("SOLROUTER_TOP_UP_MAX", "1000", dollars, "The most of one top-up, in USD.", "Payments"),
    Setting(
        "SOLROUTER_TOP_UP_ACCOUNT_DAY_MAX",
        "2000",
        dollars,
        "The most that one account may top up in 24 hours, in USD. 0: no limit.",
        "Payments",
    ),
    Setting(
        "SOLROUTER_TOP_UP_SERVER_DAY_MAX",
        "0",
        dollars,
        "The most that all accounts together may top up in 24 hours, in USD. 0: no limit.",
        "Payments",
    ),
    Setting(
        "SOLROUTER_TOP_UPS_PER_HOUR",
        "10",
        positive,
        "How many payments one account may begin in an hour; most thieves try many cards.",
        "Payments",
    ),
    Setting(
        "STRIPE_SECRET_KEY",
        "",
        text,
        "Stripe's secret key (`sk_…`) or a restricted one (`rk_…`): takes cards through Stripe "
        "Checkout. Needs `SOLROUTER_BASE_URL`, to which people come back.",
        "Payments",
        secret=True,
    ),
    Setting(
        "STRIPE_WEBHOOK_SECRET",
        "",
        webhook_secrets,
        "The signing secret (`whsec_…`) of the webhook that Stripe sends to `/webhooks/stripe`; "
        "two, separated by a comma, while you rotate it. Required in production with the key. "
        "Unset: the address answers 404.",
        "Payments",
        secret=True,
    ),
    Setting(
        "SOLROUTER_STRIPE_TEST_MODE",
        "",
        flag,
        "Takes Stripe's test keys in production mode, for a rehearsal: whoever knows Stripe's test "
        "cards gets credit for nothing.",
        "Payments",
    ),
    Setting(
        "SOLROUTER_STRIPE_CRYPTO",
        "",
        flag,
        "Also offers Stripe's own stablecoin payments, for Stripe accounts that have them.",
        "Payments",
    ),
    Setting(
        "SOLROUTER_STRIPE_TAX",
        "",
        flag,
        "Lets Stripe Tax add the tax of the payer's place, on top.",
        "Payments",
    ),
    Setting(
        "SOLROUTER_STRIPE_INVOICES",
        "",
        flag,
        "Lets Stripe make an invoice for each top-up, which Stripe charges for.",
        "Payments",
    ),
    Setting(
        "SOLROUTER_CARD_FEE_PERCENT",
        "0",
        percent,
        "What a card payment costs on top of the credit, in percent. Shown before paying.",
        "Payments",
    ),
    Setting(
        "SOLROUTER_CARD_FEE_MIN",
        "0",
        dollars,
        "The least fee of a card payment, in USD.",
        "Payments",
    ),
    Setting(
        "SOLROUTER_STRIPE_API_URL",
        "https://api.stripe.com",
        base_url,
        "Stripe's API.",
        "Payments",
    ),
    Setting(
        "SOLROUTER_STRIPE_PAGES",
        "https://checkout.stripe.com,https://billing.stripe.com",
        names,
        "Where Stripe's own pages are, which our forms may lead to.",
        "Payments",
    ),
    Setting(
        "SOLROUTER_SELLER",
        "",
        text,
        "Who sells, as receipts and statements say it: name and address, lines separated by `|`.",
        "Payments",
    ),
    Setting(
        "SOLROUTER_SELLER_TAX_ID",
        "",
        text,
        "The seller's tax number, as receipts and statements say it.",
        "Payments",
    ),
    Setting(
        "SOLROUTER_TAX_NOTE",
        "",
        text,
        "A sentence about tax at the foot of receipts and statements, such as the rate that the "
        "price includes.",
        "Payments",
    ),
    Setting(
        "SOLROUTER_FIRST_DAY_HOLD_ABOVE",
        "",
        dollars_or_none,
        "A larger top-up in an account's first 24 hours is credited when they are over, in USD. "
        "Unset: every top-up is credited at once.",
        "Payments",
    ),
    Setting(
        "SOLROUTER_REFUND_DAYS",
        "14",
        whole,
        "For so long after a payment people can take back what they have not used of it, "
        "themselves. 0: only an operator refunds.",
        "Payments",
    ),
)

SOLANA: tuple[Setting, ...] = (
    Setting(
        "SOLROUTER_SOLANA_WALLET",
        "",
        solana_address,
        "The wallet that people pay USDC to: its address and nothing else, since the server needs "
        "no private key. It must have received USDC once. Unset: no payments on Solana.",
        "USDC on Solana",
    ),
    Setting(
        "SOLROUTER_SOLANA_RPC_URLS",
        "",
        rpc_endpoints,
        "The nodes that are asked about payments, separated by commas: your own or a provider's. "
        "Two of different owners are better than one. Unset: the network's public node, which "
        "limits how often it may be asked.",
        "USDC on Solana",
        secret=True,
    ),
    Setting(
        "SOLROUTER_SOLANA_CLUSTER",
        "mainnet",
        Cluster.parse,
        "`mainnet`; or, outside production, `devnet` or the genesis hash of a network of your own. "
        "A node of another network is not believed.",
        "USDC on Solana",
    ),
    Setting(
        "SOLROUTER_SOLANA_MINT",
        "",
        solana_address,
        "The token that is taken, by its mint. It must be worth a dollar, have six decimals and "
        "belong to the classic token program. Unset: Circle's USDC.",
        "USDC on Solana",
    ),
    Setting(
        "SOLROUTER_SOLANA_LIFETIME_S",
        "3600",
        seconds,
        "How long a payment's page asks for the money. What comes later is credited all the same.",
        "USDC on Solana",
    ),
    Setting(
        "SOLROUTER_SOLANA_LEAST",
        "0.01",
        dollars,
        "A transaction that brings less is not credited, in USD.",
        "USDC on Solana",
    ),
    Setting(
        "SOLROUTER_SOLANA_AGREE_FROM",
        "",
        dollars_or_none,
        "A transaction that brings so much or more, in USD, is credited only when two nodes tell "
        "the same of it. Unset: 100 where there are two nodes; with one node it is believed.",
        "USDC on Solana",
    ),
)
