"""The exceptions of an update, by the exit code that they lead to."""


class RefusedError(Exception):
    """The update cannot be done. The text gives the reason and what to do. Exit code 2."""


class MoveError(RefusedError):
    """A file cannot be moved. The text names the file and says what to do."""


class ChangedError(RefusedError):
    """The project differs from its last commit. The text names the file and says what to do."""


class GitError(Exception):
    """A git command failed. The text is one line: the command and git's reason. Exit code 3."""


# A BaseException like KeyboardInterrupt, so that `except Exception` does not catch it.
class SignalInterrupt(BaseException):
    """A signal such as Ctrl-C asked the process to end. Exit code 130."""
