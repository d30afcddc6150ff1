# Kept by the template: copier update merges its changes into this file.
"""Reads from the Docker engine over its socket: a hundred times faster than to start a docker command.

If the engine has no socket on this machine, the callers use the docker command.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

#: Seconds that the engine may take to answer.
TIMEOUT = 60.0


class NoSocketError(Exception):
    """The engine cannot be asked over a socket, or gave an answer that is not expected."""


def settings() -> tuple[Path, dict[str, Any]]:
    """Return the folder of Docker's settings, and the settings; empty if there are none."""
    # Unlike Path.home(), this does not fail for a user without a home folder.
    folder = Path(os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker"))  # noqa: PTH111
    try:
        found = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError):
        found = {}
    return folder, found if isinstance(found, dict) else {}


def socket_path() -> str:
    """Return the path of the engine's socket, which the docker command would use.

    Raises:
        NoSocketError: the engine is elsewhere, or the context does not exist.
    """
    host = os.environ.get("DOCKER_HOST", "")
    if not host:
        folder, found = settings()
        name = os.environ.get("DOCKER_CONTEXT") or found.get("currentContext") or "default"
        host = "unix:///var/run/docker.sock"
        if name != "default":
            about = f"contexts/meta/{hashlib.sha256(name.encode()).hexdigest()}/meta.json"
            try:
                host = json.loads((folder / about).read_bytes())["Endpoints"]["docker"]["Host"]
            except (OSError, ValueError, LookupError, TypeError):
                raise NoSocketError(f"cannot read the context {name}") from None
    if not host.startswith("unix://"):
        raise NoSocketError(f"{host} is no socket")
    return host.removeprefix("unix://")


def get(path: str, **query: Any) -> Any:
    """Return the engine's answer to a GET request; None: what was asked for does not exist.

    Args:
        path: the path, such as `/images/NAME/json`. Special characters are escaped here.
        **query: the parameters; what is no text is sent as JSON.

    Raises:
        NoSocketError: there is no such socket, or the answer is an error.
        TimeoutError: the engine does not answer.
    """
    texts = {name: one if isinstance(one, str) else json.dumps(one) for name, one in query.items()}
    target = quote(path, safe="/:@") + (f"?{urlencode(texts)}" if texts else "")
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(TIMEOUT)
            connection.connect(socket_path())
            # To HTTP/1.0 the engine answers in one piece, and closes the connection.
            connection.sendall(f"GET {target} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
            answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    except TimeoutError:
        raise
    except OSError as error:
        raise NoSocketError(str(error)) from None
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head.split(b" ", 2)[1:2]
    if status == [b"404"]:
        return None
    try:
        if status == [b"200"]:
            return json.loads(body)
    except ValueError:
        pass
    raise NoSocketError(f"an answer that is not expected: {head[:80]!r}")
