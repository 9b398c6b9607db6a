"""The fixtures of a real PostgreSQL, and of a pooler before it."""

from bouncer import bouncer, bouncer_server
from postgres_server import postgres, postgres_server

__all__ = ["bouncer", "bouncer_server", "postgres", "postgres_server"]
