"""The connection to the database."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy import create_engine
from sqlalchemy.orm import Session, sessionmaker


@contextmanager
def open_sessions(url: str) -> Iterator[sessionmaker[Session]]:
    """Lend what opens sessions on a database, and close its connections at the end."""
    # pool_pre_ping: a connection that a restart of the database has cut is replaced unnoticed.
    engine = create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": 5})
    try:
        yield sessionmaker(engine)
    finally:
        engine.dispose()


def get_session(request: Request) -> Iterator[Session]:
    """Lend a request its own session."""
    with request.state.sessions() as session:
        yield session


SessionDep = Annotated[Session, Depends(get_session)]
