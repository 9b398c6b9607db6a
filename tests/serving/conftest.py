"""The fixtures of a real PostgreSQL."""

from postgres_server import postgres, postgres_server

__all__ = ["postgres", "postgres_server"]
