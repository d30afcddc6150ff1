"""The connection to the database."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, Request
from sqlalchemy import Dialect, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.orm import Session, sessionmaker


class PasswordFile:
    """Connects with the password in a file, which may change while the service runs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.accepted: str | None = None  #: the last password that the server accepted

    def connect(
        self, dialect: Dialect, _record: object, args: tuple[Any, ...], params: dict[str, Any]
    ) -> DBAPIConnection:
        """Open a connection. SQLAlchemy calls this for each new one."""
        password = self.path.read_text().strip()
        try:
            connection = dialect.connect(*args, **params, password=password)
        except dialect.loaded_dbapi.OperationalError:
            # While the password changes, the server may expect the old one, or already the new one.
            other = self.accepted if self.accepted != password else self.path.read_text().strip()
            if other in (None, password):
                raise
            password = other
            connection = dialect.connect(*args, **params, password=password)
        self.accepted = password
        return connection


def open_engine(url: str, password_file: Path | None = None, **options: Any) -> Engine:
    """Return an engine for a database. Without a file, the address contains the password."""
    engine = create_engine(url, connect_args={"connect_timeout": 5}, **options)
    if password_file:
        event.listen(engine, "do_connect", PasswordFile(password_file).connect)
    return engine


@contextmanager
def open_sessions(url: str, password_file: Path | None = None) -> Iterator[sessionmaker[Session]]:
    """Yield a session factory for a database, and close its connections at the end."""
    # pool_pre_ping replaces connections that were lost, for example in a restart of the database.
    engine = open_engine(url, password_file, pool_pre_ping=True)
    try:
        yield sessionmaker(engine)
    finally:
        engine.dispose()


def get_session(request: Request) -> Iterator[Session]:
    """Yield a session for one request."""
    with request.state.sessions() as session:
        yield session


SessionDep = Annotated[Session, Depends(get_session)]
