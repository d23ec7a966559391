"""Extensions, made here unbound and bound in create_app. Nothing here knows the app."""

from flask import Flask
from flask_login import LoginManager
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase

# Stable constraint names keep the migrations stable on both databases.
NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """The base of every table."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)


db = SQLAlchemy(model_class=Base, disable_autonaming=True)
login_manager = LoginManager()


def init_app(app: Flask) -> None:
    """Binds every extension to the app."""
    db.init_app(app)
    # What it would do at the end of each request is for sessions of the ORM, which nobody opens.
    app.teardown_appcontext_funcs.clear()
    login_manager.init_app(app)
    # Nor do we ask to be remembered by a cookie other than our own (blueprints/sessions.py).
    app.after_request_funcs.clear()
