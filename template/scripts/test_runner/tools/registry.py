# Kept by the template: copier update merges its changes into this file.
"""The test tools whose output is understood. To add a tool, write its file and add it here."""

from __future__ import annotations

from .base import Tool
from .cargo import Cargo, Nextest
from .dotnet import TestingPlatform, VSTest
from .go import Go
from .jest import Jest
from .jvm import Gradle, Maven
from .mocha import Mocha
from .node import NodeTest
from .phpunit import PHPUnit
from .pytest import Pytest
from .python_unittest import Unittest
from .ruby import Minitest, RSpec
from .vitest import Vitest

TOOLS: tuple[type[Tool], ...] = (
    Pytest,
    Unittest,
    Vitest,
    Jest,
    Mocha,
    NodeTest,
    Go,
    Cargo,
    Nextest,
    RSpec,
    Minitest,
    PHPUnit,
    VSTest,
    TestingPlatform,
    Maven,
    Gradle,
)
