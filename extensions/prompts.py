"""Shows a refused answer's whole reason below the prompt.

prompt_toolkit, which Copier asks with, shows the reason in a toolbar of one line and cuts it at the
edge of the terminal. Copier begins that line with 40 characters of its own. This replaces the
toolbar with one that wraps the reason between words, and changes nothing else. If a later
prompt_toolkit does not use this toolbar, it displays its own.
"""

from __future__ import annotations

import re
import textwrap
from importlib import import_module

from prompt_toolkit.application import get_app
from prompt_toolkit.filters import has_validation_error
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.layout import ConditionalContainer, FormattedTextControl, Window
from prompt_toolkit.widgets import ValidationToolbar

#: Copier's prefix of a refusal. The question is on the screen already.
PREFIX = re.compile(r"Validation error for question '\w+': ")

#: Copier's message if an answer of the type `yaml` cannot be parsed.
NOT_YAML = "Invalid input"


def wrapped(message: str, columns: int) -> str:
    """Wrap a refusal between words, for a terminal of some columns."""
    if message == NOT_YAML:
        message += ": this is not valid YAML; check the brackets, the quotes and the colons"
    text = PREFIX.sub("", message, count=1)
    # A value with a hyphen must stay whole, so that it can be compared and copied.
    return "\n".join(textwrap.wrap(text, max(columns - 1, 20), break_on_hyphens=False))


class WrappingToolbar(ValidationToolbar):
    """Shows why an answer is refused, in as many lines as that takes."""

    def __init__(self, show_position: bool = False) -> None:
        super().__init__(show_position)
        self.control = FormattedTextControl(self._text)
        self.container = ConditionalContainer(
            Window(self.control, dont_extend_height=True), filter=has_validation_error
        )

    def _text(self) -> StyleAndTextTuples:
        app = get_app()
        error = app.current_buffer.validation_error
        text = wrapped(error.message, app.output.get_size().columns) if error else ""
        return [("class:validation-toolbar", text)]


def wrap_refusals() -> None:
    """Replace the toolbar of all prompts."""
    # Not `import prompt_toolkit.shortcuts.prompt`: that name is also a function.
    vars(import_module("prompt_toolkit.shortcuts.prompt"))["ValidationToolbar"] = WrappingToolbar
