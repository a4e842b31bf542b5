"""The tables the api reads and writes. The schema itself is the work of the Alembic revisions."""
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import FetchedValue, ForeignKey
from sqlalchemy.dialects.postgresql import ARRAY, ENUM, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import Text


class Base(DeclarativeBase):
    pass


class Category(Base):
    __tablename__ = "categories"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    kind: Mapped[str] = mapped_column(ENUM("furniture", "textile", "electronics", "books", "other", name="category_kind", create_type=False))


class Item(Base):
    __tablename__ = "items"
    id: Mapped[int] = mapped_column(primary_key=True)
    category_id: Mapped[int] = mapped_column(ForeignKey("categories.id"))
    title: Mapped[str]
    weight_kg: Mapped[Decimal]
    status: Mapped[str] = mapped_column(server_default=FetchedValue())
    attributes: Mapped[dict[str, Any]] = mapped_column(JSONB)
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[datetime] = mapped_column(server_default=FetchedValue())
