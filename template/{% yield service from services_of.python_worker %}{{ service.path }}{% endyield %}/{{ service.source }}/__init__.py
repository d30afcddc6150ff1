"""The code of the service. It logs crashes from here on, also those of its imports."""

from .logs import log_crashes

log_crashes()
