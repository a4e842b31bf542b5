"""A small recycling shop: enough of a real application for migrations, writers and health checks."""
import os
from contextlib import asynccontextmanager
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Response
from pydantic import BaseModel, Field
from sqlalchemy import create_engine, func, select, text
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session
from starlette.middleware.trustedhost import TrustedHostMiddleware

from app.models import Category, Item

engine = create_engine(os.environ["DATABASE_URL"], pool_pre_ping=True, pool_size=5, connect_args={"connect_timeout": 3})
allowed_hosts = os.environ.get("ALLOWED_HOSTS", "recyclic.localhost").split(",") + ["localhost"]


@asynccontextmanager
async def lifespan(_: FastAPI):
    yield
    engine.dispose()


app = FastAPI(title="Recyclic", lifespan=lifespan, root_path=os.environ.get("ROOT_PATH", ""))
# Answers only to its own names: a probe has to send `Host: localhost`.
app.add_middleware(TrustedHostMiddleware, allowed_hosts=allowed_hosts)


def database():
    with Session(engine) as session:
        yield session


Database = Annotated[Session, Depends(database)]


class NewItem(BaseModel):
    category_id: int
    title: str = Field(min_length=1, max_length=200)
    weight_kg: Decimal = Field(gt=0, max_digits=8, decimal_places=3)
    attributes: dict[str, Any] = {}
    tags: list[str] = []


class ItemOut(NewItem):
    id: int
    status: str
    created_at: datetime
    model_config = {"from_attributes": True}


class CategoryOut(BaseModel):
    id: int
    name: str
    kind: str
    model_config = {"from_attributes": True}


@app.get("/health")
def health(response: Response):
    """200 and `ok` when the database answers; 503 and `unhealthy` when it does not."""
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except SQLAlchemyError:
        response.status_code = 503
        return {"status": "unhealthy", "components": {"database": "unreachable"}}
    return {"status": "ok", "components": {"database": "ok"}}


@app.get("/categories")
def categories(session: Database) -> list[CategoryOut]:
    return session.scalars(select(Category).order_by(Category.id)).all()


@app.get("/items")
def items(session: Database, limit: int = 20) -> list[ItemOut]:
    return session.scalars(select(Item).order_by(Item.id.desc()).limit(min(limit, 200))).all()


@app.get("/items/count")
def count(session: Database) -> dict[str, int]:
    return {"count": session.scalar(select(func.count()).select_from(Item))}


@app.post("/items", status_code=201)
def create(item: NewItem, session: Database) -> ItemOut:
    row = Item(**item.model_dump())
    session.add(row)
    try:
        session.commit()
    except IntegrityError as error:
        raise HTTPException(409, "no such category") from error
    session.refresh(row)
    return row
