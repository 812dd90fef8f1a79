"""The tables, as classes: `alembic revision --autogenerate` compares them with the database."""

from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, mapped_column, validates

LIMITS = {"name": 80, "message": 1000}  # characters


class Base(MappedAsDataclass, DeclarativeBase):
    """The base of all models: its metadata is what the migrations must add up to."""


class Entry(Base):
    """One entry of the guestbook."""

    __tablename__ = "entry"

    id: Mapped[int] = mapped_column(init=False, primary_key=True)
    name: Mapped[str] = mapped_column(String(LIMITS["name"]))
    message: Mapped[str] = mapped_column(String(LIMITS["message"]))

    @validates("name", "message")
    def fitting(self, column: str, value: str) -> str:
        """Return `value`; raise ValueError where PostgreSQL would, since SQLite stores anything."""
        if not 0 < len(value) <= LIMITS[column] or "\0" in value:
            raise ValueError(f"the {column} must have 1 to {LIMITS[column]} characters, none of them NUL")
        value.encode()  # JSON can say half a surrogate pair, UTF-8 cannot
        return value
