"""Makes Copier do once what it repeats for every file, every project and every process.

tests/conftest.py uses this in the test processes, and children/sitecustomize.py in the programs that
they start. Each function gets the function that sets an attribute, such as `setattr`.
"""

from __future__ import annotations

import copy
import hashlib
import marshal
import os
import sys
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from types import CodeType
from typing import Any

import jinja2
from copier import _main, _template
from copier._types import Phase

SetAttribute = Callable[[Any, str, Any], None]


def compile_once(set_attribute: SetAttribute, folder: Path) -> None:
    """Compile each piece of the template once, and share the results in a folder.

    Copier compiles every part of every path again for each project, which is most of a render's
    time. The result depends only on the text and on the settings of the Jinja environment.
    """
    compiled: dict[Hashable, CodeType] = {}
    compile_anew = jinja2.Environment.compile
    version = (sys.implementation.cache_tag, jinja2.__version__)

    def compile(
        self: jinja2.Environment,
        source: Any,
        name: str | None = None,
        filename: str | None = None,
        **options: Any,
    ) -> Any:
        if options or isinstance(source, jinja2.nodes.Template):
            return compile_anew(self, source, name, filename, **options)
        # The module of the template's extension has another name in each folder.
        extensions = [type(extension).__name__ for extension in self.extensions.values()]
        signs = (self.block_start_string, self.variable_start_string, self.comment_start_string)
        switches = (
            self.trim_blocks,
            self.lstrip_blocks,
            self.keep_trailing_newline,
            self.sandboxed,
        )
        setup = (type(self).__name__, *signs, *switches, *extensions, *self.filters)
        key = (source, name, filename, setup)
        if key in compiled:
            # Some extensions, such as Copier's yield tag, start each template in `preprocess`.
            self.preprocess(source, name)
            return compiled[key]
        # Each update writes the template to another folder.
        shared = folder / hashlib.sha256(repr((source, name, setup, version)).encode()).hexdigest()
        if shared.exists():
            self.preprocess(source, name)
            code: CodeType = marshal.loads(shared.read_bytes())
            compiled[key] = code.replace(co_filename=filename or code.co_filename)
        else:
            compiled[key] = compile_anew(self, source, name, filename)
            mine = shared.with_suffix(f".{os.getpid()}")
            mine.write_bytes(marshal.dumps(compiled[key]))
            mine.rename(shared)
        return compiled[key]

    set_attribute(jinja2.Environment, "compile", compile)


def work_out_once(set_attribute: SetAttribute) -> None:
    """Keep what Copier reads or renders again for each file, though it is the same every time.

    That is a third of a render's time: the questions, the name of the file with the answers, and,
    once all questions are answered, the answers that are written to it.
    """
    load_anew = _template.load_template_config
    name_anew = vars(_main.Worker)["answers_relpath"].fget
    answers_anew = _main.Worker._answers_to_remember
    configs: dict[tuple[Path, float], dict[str, Any]] = {}

    def load_template_config(conf_path: Path, quiet: bool = False) -> dict[str, Any]:
        key = (conf_path, conf_path.stat().st_mtime)
        if key not in configs:
            configs[key] = load_anew(conf_path, quiet)
        return copy.deepcopy(configs[key])

    def answers_relpath(self: _main.Worker) -> Path:
        known: dict[str, Path] = self.__dict__
        if "answers_relpath" not in known:
            known["answers_relpath"] = name_anew(self)
        return known["answers_relpath"]

    def answers_to_remember(self: _main.Worker) -> Mapping[str, Any]:
        if Phase.current() is not Phase.RENDER:
            return answers_anew(self)
        known: dict[str, Mapping[str, Any]] = self.__dict__
        if "answers_to_remember" not in known:
            known["answers_to_remember"] = answers_anew(self)
        return known["answers_to_remember"]

    set_attribute(_template, "load_template_config", load_template_config)
    set_attribute(_main.Worker, "answers_relpath", property(answers_relpath))
    set_attribute(_main.Worker, "_answers_to_remember", answers_to_remember)
