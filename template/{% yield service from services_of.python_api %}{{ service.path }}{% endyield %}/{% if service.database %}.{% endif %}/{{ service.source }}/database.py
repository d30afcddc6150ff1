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

    def read(self) -> str:
        """Return the password in the file."""
        return self.path.read_text().strip()

    def candidates(self) -> Iterator[str]:
        """Yield the passwords to try, one after the other."""
        accepted = self.accepted
        yield self.read()
        if accepted is not None and accepted != self.read():
            # While the password changes, the server first expects the old one, then the new one.
            yield accepted
            yield self.read()

    def connect(
        self, dialect: Dialect, _record: object, args: tuple[Any, ...], params: dict[str, Any]
    ) -> DBAPIConnection:
        """Open a connection. SQLAlchemy calls this for each new one."""
        failures: list[Exception] = []
        for password in self.candidates():
            try:
                connection = dialect.connect(*args, **params, password=password)
            except dialect.loaded_dbapi.OperationalError as failure:
                failures.append(failure)
            else:
                self.accepted = password
                return connection
        raise failures[-1]


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
