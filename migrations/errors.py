"""The exceptions of an update, by the exit code that they lead to."""


class RefusedError(Exception):
    """The update cannot be done. The text gives the reason and what to do. Exit code 2."""


class MoveError(RefusedError):
    """A file cannot be moved. The text names the file and says what to do."""


class ChangedError(RefusedError):
    """The project differs from its last commit. The text names the file and says what to do."""


class GitError(Exception):
    """A git command failed. The text is one line: the command and git's reason. Exit code 3."""


class UndoError(Exception):
    """An update failed, and something could not be undone. Exit code 4.

    Args:
        reason: why the update failed.
        problems: for each path that is not as before, why, and what to do.
    """

    def __init__(self, reason: str, problems: dict[str, str]) -> None:
        lines = [f"  {path}: {problem}" for path, problem in problems.items()]
        super().__init__("\n".join([f"{reason}; not everything could be undone:", *lines]))


# A BaseException like KeyboardInterrupt, so that `except Exception` does not catch it.
class SignalInterrupt(BaseException):
    """A signal such as Ctrl-C asked the process to end. Exit code 130."""
