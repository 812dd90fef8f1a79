"""The tables as classes. `alembic revision --autogenerate` compares them with the database."""

from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, mapped_column, validates

LIMITS = {"name": 80, "message": 1000}  # characters


class Base(MappedAsDataclass, DeclarativeBase):
    """The base of all models. The migrations must produce the schema in its metadata."""


class Entry(Base):
    """One guestbook entry."""

    __tablename__ = "entry"

    id: Mapped[int] = mapped_column(init=False, primary_key=True)
    name: Mapped[str] = mapped_column(String(LIMITS["name"]))
    message: Mapped[str] = mapped_column(String(LIMITS["message"]))

    @validates("name", "message")
    def validated(self, column: str, value: str) -> str:
        """Return `value`; raise ValueError for text that PostgreSQL rejects, because SQLite stores any text."""
        if not 0 < len(value) <= LIMITS[column] or "\0" in value:
            raise ValueError(f"the {column} must have 1 to {LIMITS[column]} characters, none of them NUL")
        value.encode()  # JSON allows lone surrogates, UTF-8 does not
        return value
