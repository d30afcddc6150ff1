"""What updates use of this version's extensions: the rules of answers, the list of services, guesses."""

import sys
from pathlib import Path

# The template's root, which contains the package `extensions`.
sys.path.insert(1, str(Path(__file__).parent.parent))

from extensions.commands import commands_of
from extensions.destination import SIGNS, grown
from extensions.items import names_in
from extensions.kinds import kind_of
from extensions.rules import AnswerError, check_name, reserved_as
from extensions.services import Service, resolve

__all__ = [
    "SIGNS",
    "AnswerError",
    "Service",
    "check_name",
    "commands_of",
    "grown",
    "kind_of",
    "names_in",
    "reserved_as",
    "resolve",
]
