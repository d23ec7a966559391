"""Terms, privacy, refunds and contact: Markdown that the operator edits.

Each is read from the operator's folder as it is now, so that an edit shows at once. Where there is
no file of theirs, the template that ships with us stands in, and says what it is.
"""

from pathlib import Path

from flask import Blueprint, current_app, render_template

from solrouter import markdown
from solrouter.blueprints import addresses

TEMPLATES = Path(__file__).resolve().parent.parent / "policy_pages"
NAMES = ("terms", "privacy", "refunds", "contact")
FOLDER_IN_INSTANCE = "policies"
UNKNOWN_SELLER = "the operator of this server"

policies = Blueprint("policies", __name__)


@policies.get("/<any(terms, privacy, refunds, contact):name>")
def show_policy(name: str) -> str:
    """One of them."""
    own = folder() / f"{name}.md"
    is_template = not own.is_file()
    path = TEMPLATES / f"{name}.md" if is_template else own
    page = markdown.page(_with_facts(path.read_text(encoding="utf-8")))
    return render_template(
        "pages/policy.html",
        page=page,
        title=page.facts.get("title") or name.capitalize(),
        summary=page.facts.get("summary", ""),
        is_template=is_template,
        own=own,
    )


def folder() -> Path:
    """Where the operator's own are."""
    configured: str = current_app.config["SOLROUTER_POLICIES_PATH"]
    return Path(configured or Path(current_app.instance_path) / FOLDER_IN_INSTANCE)


def _with_facts(text: str) -> str:
    """The text with what the settings know, for templates and operators' own files alike."""
    config = current_app.config
    seller = ", ".join(part.strip() for part in config["SOLROUTER_SELLER"].split("|"))
    facts = {
        "seller": seller or UNKNOWN_SELLER,
        "Seller": seller or UNKNOWN_SELLER.capitalize(),
        "site_url": addresses.site_url(),
        "contact_email": config["SOLROUTER_CONTACT_EMAIL"],
        "contact_sentence": _contact_sentence(config["SOLROUTER_CONTACT_EMAIL"]),
        "refund_days": str(config["SOLROUTER_REFUND_DAYS"]),
        "refund_sentence": _refund_sentence(config["SOLROUTER_REFUND_DAYS"]),
    }
    for name, value in facts.items():
        text = text.replace("{{ " + name + " }}", value)
    return text


def _contact_sentence(email: str) -> str:
    if not email:
        return "The operator of this server has not said yet how to reach them."
    return f"Our address is [{email}](mailto:{email})."


def _refund_sentence(days: int) -> str:
    if not days:
        return "Write to us, and we give back what you have not used of a payment."
    return f"For {days} days after a payment you can take back what you have not used of it."
