"""Routes to store and list items."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, StringConstraints
from sqlalchemy import select
from sqlalchemy.orm import Session

from .database import SessionDep
from .models import Item

router = APIRouter(prefix="/api/items", tags=["items"])


class NewItem(BaseModel):
    """A request to store an item."""

    name: Annotated[
        str,
        # PostgreSQL cannot store NUL.
        StringConstraints(
            strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00]*$"
        ),
    ]


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


def oldest_items(session: Session, limit: int, after: int) -> Sequence[Item]:
    """Return some items, the oldest first, of those after an id."""
    return session.scalars(select(Item).where(Item.id > after).order_by(Item.id).limit(limit)).all()


@router.post("", status_code=201, response_model=StoredItem)
def create_item(new: NewItem, session: SessionDep) -> Item:
    """Store an item."""
    return add_item(session, new.name)


@router.get("", response_model=list[StoredItem])
def list_items(
    session: SessionDep,
    limit: Annotated[int, Query(ge=1, le=100)] = 100,
    after: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
) -> Sequence[Item]:
    """List the items, the oldest first. For the next page, `after` is the last id of this one."""
    return oldest_items(session, limit, after)
