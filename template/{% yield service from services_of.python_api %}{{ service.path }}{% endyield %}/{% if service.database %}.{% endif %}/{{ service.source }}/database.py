"""The connection to the database."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy import create_engine
from sqlalchemy.orm import Session, sessionmaker


@contextmanager
def open_sessions(url: str) -> Iterator[sessionmaker[Session]]:
    """Yield a session factory for a database, and close its connections at the end."""
    # pool_pre_ping replaces connections that were lost, for example in a restart of the database.
    engine = create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": 5})
    try:
        yield sessionmaker(engine)
    finally:
        engine.dispose()


def get_session(request: Request) -> Iterator[Session]:
    """Yield a session for one request."""
    with request.state.sessions() as session:
        yield session


SessionDep = Annotated[Session, Depends(get_session)]
