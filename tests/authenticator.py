"""An authenticator app, as a person has it on their phone: it knows the secret and the time."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import pyotp
from flask import Flask

from solrouter import clock
from solrouter.services import second_factors

NETWORK = "192.0.2.77"
# Set up so long ago that the codes of now are all new.
SET_UP_AGO = timedelta(hours=1)


@dataclass(frozen=True)
class Authenticator:
    """The app, and the recovery codes that came with it."""

    secret: str
    recovery_codes: tuple[str, ...] = ()

    def code(self, steps: int = 0, *, now: datetime | None = None) -> str:
        """What it shows, or will show so many steps of thirty seconds later."""
        moment = (now or clock.utcnow()) + timedelta(seconds=second_factors.STEP_S * steps)
        return pyotp.TOTP(self.secret).at(moment)

    def wrong_code(self) -> str:
        """Six digits that it does not show, now or soon."""
        near = {self.code(steps) for steps in range(-3, 4)}
        return next(code for code in (f"{n:06}" for n in range(10)) if code not in near)


def set_up(user_id: int, *, keep_session: int = 0, at: datetime | None = None) -> Authenticator:
    """Gives the user a second factor; for inside an app's context."""
    moment = at or clock.utcnow() - SET_UP_AGO
    second_factors.begin(user_id)
    enrolment = second_factors.enrolment(user_id, name="somebody")
    assert enrolment is not None
    codes = second_factors.confirm(
        user_id,
        Authenticator(enrolment.secret).code(now=moment),
        keep_session=keep_session,
        network=NETWORK,
        now=moment,
    )
    return Authenticator(enrolment.secret, tuple(codes))


def set_up_in(app: Flask, user_id: int) -> Authenticator:
    """The same, from outside."""
    with app.app_context():
        return set_up(user_id)
