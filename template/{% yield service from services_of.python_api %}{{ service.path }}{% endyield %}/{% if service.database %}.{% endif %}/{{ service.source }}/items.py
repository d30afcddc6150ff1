"""Routes to store and list items."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, StringConstraints
from sqlalchemy import select
from sqlalchemy.orm import Session

from .database import SessionDep
from .models import Item

router = APIRouter(prefix="/api/items", tags=["items"])


class NewItem(BaseModel):
    """A request to store an item."""

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class StoredItem(BaseModel):
    """A stored item."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str
    created_at: datetime


def add_item(session: Session, name: str) -> Item:
    """Store a new item."""
    item = Item(name=name)
    session.add(item)
    session.commit()
    return item


def all_items(session: Session) -> Sequence[Item]:
    """Return all items, the oldest first."""
    return session.scalars(select(Item).order_by(Item.id)).all()


@router.post("", status_code=201, response_model=StoredItem)
def create_item(new: NewItem, session: SessionDep) -> Item:
    """Store an item."""
    return add_item(session, new.name)


@router.get("", response_model=list[StoredItem])
def list_items(session: SessionDep) -> Sequence[Item]:
    """List the items."""
    return all_items(session)
