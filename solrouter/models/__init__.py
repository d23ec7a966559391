"""The ground: tables and constraints, no verbs. Importing this package makes every table known."""

from solrouter.models.catalogue import (
    LanguageModel,
    ModelAlias,
    Offer,
    PriceCard,
    Provider,
    Version,
)
from solrouter.models.health import OfferHealth
from solrouter.models.identity import (
    EmailToken,
    OutgoingMail,
    SignupInvitation,
    TeamInvitation,
    WelcomeClaim,
)
from solrouter.models.keys import (
    ApiKey,
    Bucket,
    Budget,
    FormerSecret,
    KeyDay,
    Plan,
    Refusal,
    RollUp,
    SecretFingerprint,
)
from solrouter.models.ledger import Payment, PaymentEvent, Transfer
from solrouter.models.people import (
    Account,
    Identity,
    Membership,
    RecoveryCode,
    SecondFactor,
    Session,
    User,
)
from solrouter.models.requests import (
    AuditEvent,
    Completion,
    Hold,
    IdempotencyKey,
    Keepsake,
    Lease,
    Worker,
)

__all__ = [
    "Account",
    "ApiKey",
    "AuditEvent",
    "Bucket",
    "Budget",
    "Completion",
    "EmailToken",
    "FormerSecret",
    "Hold",
    "IdempotencyKey",
    "Identity",
    "Keepsake",
    "KeyDay",
    "LanguageModel",
    "Lease",
    "Membership",
    "ModelAlias",
    "Offer",
    "OfferHealth",
    "OutgoingMail",
    "Payment",
    "PaymentEvent",
    "Plan",
    "PriceCard",
    "Provider",
    "RecoveryCode",
    "Refusal",
    "RollUp",
    "SecondFactor",
    "SecretFingerprint",
    "Session",
    "SignupInvitation",
    "TeamInvitation",
    "Transfer",
    "User",
    "Version",
    "WelcomeClaim",
    "Worker",
]
