"""Guesses the commands of an existing service: how its tests, its linter and its lock file are run.

A command is one line of a Makefile's recipe that runs in the service's folder. `$(TESTS)` and
`$(ARGS)` are variables of the Makefile: the selected tests, and options for the test tool. A target
without a guess is missing in the result.
"""

from __future__ import annotations

import configparser
import os
import posixpath
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .dockerfiles import parse_dockerfile
from .languages import manifest_text, manifests_in, package_json
from .source_files import SourceFiles, source_files

Commands = dict[str, list[str]]

#: Folders of integration tests, relative to a folder of tests.
INTEGRATION = ("integration", "integrations", "functional", "system", "service")
#: Markers of tests that need the service's stack.
MARKERS = ("integration", "functional", "live", "smoke", "system")
E2E = ("e2e", "end2end", "end_to_end", "end-to-end", "acceptance")

#: Build tags of integration tests in Go.
GO_TAGS = ("integration", "functional", "system")

#: The versions of pnpm that read a version of its lock file.
PNPM = {"5": "7", "6": "8", "9": "10"}


def commands_of(root: Path, item: Mapping[str, Any], files: SourceFiles | None = None) -> Commands:
    """Return the guessed commands of a service: setup, test_unit, test_service, lint, format, lock.

    Args:
        root: the project.
        item: the service's entry in the answer `services`.
        files: the files of the project, if they were listed before.
    """
    files = files or source_files(root)
    folder = posixpath.normpath(str(item.get("path") or f"services/{item['name']}"))
    language = str(item.get("language") or next(iter(manifests_in(files, folder)), ""))
    guess = _Guess(files, folder, _dockerfile(files, item, folder))
    tools = {
        "python": guess.python,
        "node": guess.node,
        "go": guess.go,
        "rust": guess.rust,
        "java": guess.java,
        "dotnet": guess.dotnet,
        "ruby": guess.ruby,
        "php": guess.php,
    }
    found = tools[language]() if language in tools else {}
    if "test_unit" not in found:
        found |= guess.makefile()
    if not found.keys() & {"test_unit", "test_service", "lint", "format"}:
        # Nothing would use what is installed.
        found.pop("setup", None)
    return {target: lines for target, lines in found.items() if lines}


def integration_command(root: Path, files: SourceFiles | None = None) -> str:
    """Guess the command for the integration tests of the whole project, run at its root.

    Returns an empty text if the project has no such tests, or if their tool is unknown.
    """
    files = files or source_files(root)
    folders = [f"{tests}/{name}" for tests in ("tests", "test") for name in (*INTEGRATION, *E2E)]
    for folder in (*folders, *E2E, "integration-tests", "integration_tests"):
        if not any(True for _ in files.below(folder)):
            continue
        own = next((language for language in manifests_in(files, folder)), "")
        if own:
            guess = _Guess(files, folder, "")
            found = {"python": guess.python, "node": guess.node, "go": guess.go}.get(own, dict)()
            lines = found.get("test_unit", [])
            if lines:
                # `make setup` does not install the packages of this folder.
                before = f"{found['setup'][0]} && " if own == "node" else ""
                return f"cd {folder} && {before}{lines[0]}"
        names = [posixpath.basename(name) for name in files.below(folder)]
        if any(re.fullmatch(r"test_.+\.py|.+_test\.py", name) for name in names):
            guess = _Guess(files, ".", "")
            return f"{guess.pytest()} $(or $(TESTS),{folder}) $(ARGS)"
        if any(name.endswith("_test.go") for name in names):
            tag = build_tag(files, folder, (*GO_TAGS, "e2e"))
            option = f"-tags={tag} " if tag else ""
            return f"go test -v {option}$(or $(TESTS),./{folder}/...) $(ARGS)"
        scripts = package_json(files, ".").get("scripts")
        if isinstance(scripts, dict):
            for script in (
                f"test:{posixpath.basename(folder)}",
                "test:integration",
                "test:e2e",
                "e2e",
            ):
                if script in scripts:
                    return _Guess(files, ".", "").script(script)
    return ""


def build_tag(files: SourceFiles, folder: str, tags: tuple[str, ...]) -> str:
    """Return the build tag of the integration tests in a folder; empty without a tag."""
    pattern = re.compile(rf"^// ?(?:go:build|\+build) ({'|'.join(tags)})\b", re.MULTILINE)
    for name in files.below(folder):
        if name.endswith("_test.go") and (match := pattern.search(files.read(name))):
            return match[1]
    return ""


def _dockerfile(files: SourceFiles, item: Mapping[str, Any], folder: str) -> str:
    context = str(item.get("context") or folder)
    return posixpath.normpath(posixpath.join(context, str(item.get("dockerfile") or "Dockerfile")))


def _gradle(gradle: str, task: str) -> str:
    """Return the command of a task with tests. Gradle prints no numbers, so it copies its reports."""
    clean = f"clean{task[0].upper()}{task[1:]}"
    return (
        f"{gradle} {clean} {task} $(if $(TESTS),--tests '$(TESTS)') $(ARGS); code=$$?;"
        f' [ -z "$$TEST_JUNIT" ] || cp -r build/test-results/{task} "$$TEST_JUNIT"; exit $$code'
    )


def _berry(stated: str) -> str:
    """Return the command of Yarn 2 or later, in the version of the package.json."""
    version = stated.partition("@")[2] if stated.startswith("yarn@") else ""
    return f"npx --yes @yarnpkg/cli-dist{f'@{version}' if version else ''}"


def _tox(text: str) -> str:
    """Return the command of tox: only for one version of Python, if its environments allow that."""
    settings = configparser.RawConfigParser(strict=False)
    try:
        settings.read_string(text)
    except configparser.Error:
        return "uvx --with tox-uv tox $(ARGS)"
    # Any name like `py` has the settings of the section testenv.
    one = " -e py" if settings.has_option("testenv", "commands") else ""
    options = " -- $(TESTS) $(ARGS)" if "{posargs" in text else " $(ARGS)"
    return f"uvx --with tox-uv tox{one}{options}"


def _nox(text: str) -> str:
    """Return the command of nox, for the session with the tests."""
    sessions = re.findall(r"^@nox\.session.*\n(?:@.*\n)*def (\w+)", text, re.MULTILINE)
    name = next((n for n in ("unit", "tests", "test", "unit_tests", "pytest") if n in sessions), "")
    options = " -- $(TESTS) $(ARGS)" if "posargs" in text else " $(ARGS)"
    return f"uvx nox{f' -s {name}' if name else ''}{options}"


def _poetry_options(settings: object) -> str:
    """Return the option by which Poetry installs an optional group of test tools."""
    groups = settings.get("group") if isinstance(settings, dict) else None
    for name, group in groups.items() if isinstance(groups, dict) else ():
        if name in ("dev", "test", "tests") and isinstance(group, dict) and group.get("optional"):
            return f" --with {name}"
    return ""


class _Guess:
    """The commands for one folder."""

    def __init__(self, files: SourceFiles, folder: str, dockerfile: str) -> None:
        self.files, self.folder, self.dockerfile = files, folder, dockerfile
        self.names = set(files.files_in(folder))

    def read(self, name: str) -> str:
        """Read a file of the folder."""
        return self.files.read(posixpath.join(self.folder, name))

    def below(self) -> Iterator[str]:
        """Yield the files of the folder, relative to it."""
        prefix = "" if self.folder == "." else f"{self.folder}/"
        return (name.removeprefix(prefix) for name in self.files.below(self.folder))

    def nearest(self, *names: str) -> str:
        """Return the nearest folder, from this one up to the root, that has one of some files.

        It is relative to this folder: `.`, `..` and so on. Empty if there is none.
        """
        folder = self.folder
        while True:
            if any(name in self.files.files_in(folder) for name in names):
                return posixpath.relpath(folder, self.folder)
            if folder == ".":
                return ""
            folder = posixpath.dirname(folder) or "."

    def test_folders(self, names: tuple[str, ...], pattern: str) -> list[str]:
        """Return the folders of tests with one of some names that contain files like a pattern."""
        # Below the root, other services may have such folders too.
        before = "" if self.folder == "." else "(?:.*?/)?"
        folder = re.compile(rf"({before}(?:tests?|specs?|__tests__)/(?:{'|'.join(names)}))/")
        found = [
            match[1]
            for path in self.below()
            if (match := folder.match(path)) and re.search(pattern, path)
        ]
        return list(dict.fromkeys(found))

    # Python -----------------------------------------------------------------------

    def _pyproject(self) -> dict[str, Any]:
        try:
            return tomllib.loads(self.read("pyproject.toml"))
        except tomllib.TOMLDecodeError:
            return {}

    def _runner(self) -> tuple[str, str, list[str], list[str]]:
        """Return the name of the tool, its prefix for commands, and the commands setup and lock."""
        pyproject = self._pyproject()
        tools = pyproject.get("tool", {})
        tools = tools if isinstance(tools, dict) else {}
        is_project = isinstance(pyproject.get("project"), dict)
        # A project of uv may be built by the tools of Poetry or PDM.
        if not (is_project and "uv.lock" in self.names):
            if "poetry.lock" in self.names or "poetry" in tools:
                install = f"uvx poetry install{_poetry_options(tools.get('poetry'))}"
                return "poetry", "uvx poetry run", [install], ["uvx poetry lock"]
            if "pdm.lock" in self.names or "pdm" in tools:
                return "pdm", "uvx pdm run", ["uvx pdm install"], ["uvx pdm lock"]
            if "Pipfile" in self.names:
                install = "sync" if "Pipfile.lock" in self.names else "install"
                setup = [f"uvx pipenv {install} --dev"]
                return "pipenv", "uvx pipenv run", setup, ["uvx pipenv lock"]
        requirements = self._requirements()
        if is_project:
            options = self._uv_options(pyproject)
            if not options and not re.search(r"\bpytest\b", self.read("pyproject.toml")):
                # Only files with requirements name the test tools.
                options = "".join(
                    f" --with-requirements {name}"
                    for name in requirements
                    if re.search(r"dev|test", name)
                )
                return "uv", f"uv run{options}", ["uv sync"], ["uv lock"]
            return "uv", f"uv run{options}", [f"uv sync{options}"], ["uv lock"]
        files = "".join(f" --with-requirements {name}" for name in requirements)
        if "setup.py" in self.names and (
            "install_requires" in self.read("setup.py") + self.read("setup.cfg")
            or any(name.startswith("src/") for name in self.below())
        ):
            files += " --with-editable ."
        python = self._python_version()
        prefix = f"UV_PYTHON=$${{UV_PYTHON:-{python}}} " if python else ""
        command = f"{prefix}uv run --no-project{files}"
        return "requirements", command, [f"{command} true"] if files else [], []

    def _uv_options(self, pyproject: Mapping[str, Any]) -> str:
        """Return the options by which uv installs the test tools."""
        groups = pyproject.get("dependency-groups")
        extras = pyproject["project"].get("optional-dependencies")
        found = [
            (option, name, str(names[name]))
            for option, names in (("group", groups), ("extra", extras))
            for name in ("dev", "test", "tests", "testing")
            if isinstance(names, dict) and name in names
        ]
        # The group dev often has other tools than those for tests.
        found.sort(key=lambda entry: not re.search(r"\bpytest\b", entry[2]))
        if not found or found[0][:2] == ("group", "dev"):
            return ""  # uv installs the group dev without being asked.
        return f" --{found[0][0]} {found[0][1]}"

    def _requirements(self) -> list[str]:
        """Return the files with requirements, first those of the service, then those of its tests."""
        pattern = re.compile(
            r"(?:tests?/)?requirements([-_.](dev|develop|development|test|tests|testing|local))?\.txt"
            r"|(dev|test|tests)[-_]requirements\.txt|requirements/(base|dev|test|tests|local)\.txt"
        )
        found = [name for name in self.below() if pattern.fullmatch(name)]
        return sorted(
            found,
            key=lambda name: (name not in ("requirements.txt", "requirements/base.txt"), name),
        )

    def _python_version(self) -> str:
        if self.nearest(".python-version"):
            return ""
        for stage in parse_dockerfile(self.files.read(self.dockerfile)).stages[::-1]:
            if match := re.search(r"(?:^|/)python:(3\.\d+)", stage.image):
                return match[1]
        return ""

    def _python_text(self) -> str:
        texts = [manifest_text(self.files, self.folder)]
        texts += [self.read(name) for name in self._requirements()]
        return "\n".join(texts)

    def pytest(self) -> str:
        """Return the command that starts pytest."""
        tool, prefix, _, _ = self._runner()
        if re.search(r"\bpytest\b", self._python_text()):
            return f"{prefix} pytest"
        if tool in ("uv", "requirements"):
            return f"{prefix} --with pytest pytest"
        return f"{prefix} python -m pytest"

    def python(self) -> Commands:
        """Return the commands of a service in Python."""
        _, prefix, setup, lock = self._runner()
        found: Commands = {"setup": setup, "lock": lock} | self._python_style(prefix)
        tests = [
            name for name in self.below()
            if re.search(r"(^|/)(test_[^/]*|[^/]*_test|tests)\.py$", name)
        ]  # fmt: skip
        if not tests:
            return found
        text = self._python_text()
        config = "".join(self.read(name) for name in ("pytest.ini", "setup.cfg", "tox.ini")) + text
        uses_pytest = (
            re.search(r"\bpytest\b", config)
            or any(re.search(r"(^|/)(conftest\.py|pytest\.ini)$", name) for name in self.below())
            or any(re.search(r"^\s*(import|from) pytest\b", self.read(name), re.MULTILINE)
                   for name in tests[:50])
            or any(re.search(r"^(async )?def test_|^class Test\w*(\(\))?:", self.read(name), re.MULTILINE)
                   for name in tests[:50])
        )  # fmt: skip
        # The tools that only tox or nox installs are missing elsewhere.
        is_alone = not re.search(r"\bpytest\b", text)
        tox, nox = self.read("tox.ini"), self.read("noxfile.py")
        if is_alone and re.search(r"^\s*deps\s*=[^\[]*\bpytest\b", tox, re.MULTILINE):
            return found | {"test_unit": [_tox(tox)]}
        if is_alone and nox and "install" in nox and re.search(r"\bpytest\b", nox):
            return found | {"test_unit": [_nox(nox)]}
        if uses_pytest:
            return found | self._pytest_targets(config)
        manage = sorted((name for name in self.below() if name.endswith("manage.py")), key=len)
        if manage and manage[0].count("/") < 2 and "django" in self.read(manage[0]):
            folder = posixpath.dirname(manage[0])
            chosen = f"$(or $(TESTS),{folder})" if folder else "$(TESTS)"
            return found | {"test_unit": [f"{prefix} python {manage[0]} test {chosen} $(ARGS)"]}
        if nox:
            return found | {"test_unit": [_nox(nox)]}
        if tox:
            return found | {"test_unit": [_tox(tox)]}
        return found | self._unittest_targets(prefix, tests)

    def _pytest_targets(self, config: str) -> Commands:
        command = self.pytest()
        pattern = r"(^|/)(test_[^/]*|[^/]*_test)\.py$"
        service = self.test_folders(INTEGRATION, pattern)
        # Tests of the whole project need more than the service's own stack.
        apart = service + self.test_folders(E2E, pattern)
        unit = self.test_folders(("unit",), pattern)
        if unit or apart:
            has_others = self._has_other_tests([*unit, *apart], pattern)
            first = " ".join(unit if not has_others else [f"--ignore={name}" for name in apart])
            chosen = f"$(or $(TESTS),{first})" if first else "$(TESTS)"
            targets = {"test_unit": [f"{command} {chosen} $(ARGS)"]} if unit or has_others else {}
            if service:
                folders = " ".join(service)
                targets["test_service"] = [f"{command} $(or $(TESTS),{folders}) $(ARGS)"]
            return targets
        service_markers = self._markers(config, MARKERS)
        apart_markers = service_markers + self._markers(config, ("e2e",))
        targets = {"test_unit": [f"{command} $(TESTS) $(ARGS)"]}
        if apart_markers:
            others = " and ".join(f"not {marker}" for marker in apart_markers)
            targets["test_unit"] = [f'{command} -m "{others}" $(TESTS) $(ARGS)']
        if service_markers:
            chosen = " or ".join(service_markers)
            chosen = f'"{chosen}"' if " " in chosen else chosen
            targets["test_service"] = [f"{command} -m {chosen} $(TESTS) $(ARGS)"]
        return targets

    def _markers(self, config: str, names: tuple[str, ...]) -> list[str]:
        """Return those of some markers that the configuration declares and that a test has."""
        if "markers" not in config:
            return []
        texts = [
            self.read(name)
            for name in self.below()
            if re.search(r"(^|/)(test_[^/]*|[^/]*_test|tests|conftest)\.py$", name)
        ]
        return [
            name
            for name in names
            if re.search(
                rf"(?:^\s*|[\"'])({name})(?::|\(|[\"']\s*[,\]]|[\"']?\s*$)", config, re.MULTILINE
            )
            and any(re.search(rf"mark\.{name}\b|add_marker\([\"']{name}", text) for text in texts)
        ]

    def _has_other_tests(self, folders: list[str], pattern: str) -> bool:
        prefixes = tuple(f"{folder}/" for folder in folders)
        return any(
            re.search(pattern, name) and not name.startswith(prefixes) for name in self.below()
        )

    def _unittest_targets(self, prefix: str, tests: list[str]) -> Commands:
        def discover(folder: str) -> str:
            start = "discover" if folder == "." else f"discover -s {folder} -t ."
            if folder != "." and f"{folder}/__init__.py" not in set(self.below()):
                start = f"discover -s {folder}"
            return f"{prefix} python -m unittest $(or $(TESTS),{start}) $(ARGS)"

        pattern = r"(^|/)test[^/]*\.py$"
        unit, service = (
            self.test_folders(("unit",), pattern),
            self.test_folders(INTEGRATION, pattern),
        )
        if unit:
            found = {"test_unit": [discover(unit[0])]}
            others = self._has_other_tests(
                [unit[0], *service, *self.test_folders(E2E, pattern)], pattern
            )
            if not others and len(service) < 2:
                return found | ({"test_service": [discover(service[0])]} if service else {})
        folders = {name.partition("/")[0] if "/" in name else "." for name in tests}
        command = discover(folders.pop() if len(folders) == 1 else ".")
        if not any(re.search(pattern, name) for name in tests):
            # unittest only finds other names if they are given.
            command = command.replace("discover", "discover -p '*_test.py'", 1)
        return {"test_unit": [command]}

    def _python_style(self, prefix: str) -> Commands:
        text = self._python_text() + self.read("setup.cfg") + self.read("tox.ini")
        # At the root, the folder scripts/ has files of the template.
        where = "--extend-exclude scripts ." if self.folder == "." else "."
        if self.nearest("ruff.toml", ".ruff.toml") or re.search(r"\[tool\.ruff|\bruff\b", text):
            ruff = f"{prefix} ruff" if re.search(r"^\W*ruff\b", text, re.MULTILINE) else "uvx ruff"
            return {
                "lint": [f"{ruff} check {where}"],
                "format": [f"{ruff} check --fix --exit-zero {where}", f"{ruff} format {where}"],
            }
        found: Commands = {}
        if re.search(r"\bflake8\b", text) or ".flake8" in self.names:
            found["lint"] = [f"uvx flake8 {where}"]
        if re.search(r"\[tool\.black|^\W*black\b", text, re.MULTILINE):
            where = where.replace(" scripts ", " '^/scripts/' ")
            found["lint"] = [*found.get("lint", []), f"uvx black --check {where}"]
            found["format"] = [f"uvx black {where}"]
        return found

    # Node.js ----------------------------------------------------------------------

    def _manager(self) -> tuple[str, str]:
        """Return the package manager and the command that starts it."""
        package = package_json(self.files, self.folder)
        stated = str(package.get("packageManager") or "").partition("+")[0]
        if lock := self.nearest("pnpm-lock.yaml"):
            match = re.search(r"lockfileVersion: '?(\d)", self.read(f"{lock}/pnpm-lock.yaml"))
            version = PNPM.get(match[1], "") if match else ""
            exact = stated if stated.startswith("pnpm@") else ""
            return "pnpm", f"npx --yes {exact or (f'pnpm@{version}' if version else 'pnpm')}"
        if lock := self.nearest("yarn.lock"):
            is_first = "yarn lockfile v1" in self.read(posixpath.join(lock, "yarn.lock"))[:200]
            own = self.nearest(".yarnrc.yml")
            if is_first or (own and "yarnPath" in self.read(f"{own}/.yarnrc.yml")):
                return ("yarn" if is_first else "berry"), "npx --yes yarn@1"
            return "berry", _berry(stated)
        if self.nearest("bun.lock", "bun.lockb"):
            return "bun", "npx --yes bun"
        if stated.startswith("yarn@1."):
            return "yarn", "npx --yes yarn@1"
        if stated.startswith("yarn@"):
            return "berry", _berry(stated)
        if stated.startswith(("pnpm@", "bun@")):
            return stated.partition("@")[0], f"npx --yes {stated}"
        return "npm", "npm"

    def script(self, name: str, options: str = "$(TESTS) $(ARGS)") -> str:
        """Return the command that runs a script of the package.json."""
        manager, command = self._manager()
        scripts = package_json(self.files, self.folder).get("scripts")
        text = str(scripts.get(name, "")) if isinstance(scripts, dict) else ""
        # These tools watch the sources on a terminal, unless they run in CI.
        watches = re.search(
            r"react-scripts test|\bvitest\b(?! run)|\bng test\b|jest --watch(All)?(?![\w=])", text
        )
        prefix = "CI=true " if watches else ""
        if "ng test" in text and "--watch" not in text:
            options = f"--watch=false {options}"
        if manager == "npm":
            return f"{prefix}npm run --silent {name}" + (f" -- {options}" if options else "")
        # pnpm and yarn 1 pass `--` on to the script, and the tool would take it for a file.
        return f"{prefix}{command} run {name}" + (f" {options}" if options else "")

    def node(self) -> Commands:
        """Return the commands of a service in JavaScript or TypeScript."""
        manager, command = self._manager()
        package = package_json(self.files, self.folder)
        scripts = package.get("scripts")
        scripts = scripts if isinstance(scripts, dict) else {}
        setup = {
            "pnpm": f"{command} install --frozen-lockfile",
            "yarn": f"{command} install --frozen-lockfile",
            "berry": f"{command} install --immutable",
            "bun": f"{command} install --frozen-lockfile",
        }
        lock = {
            "pnpm": f"{command} install --lockfile-only",
            "npm": "npm install --package-lock-only",
        }
        found: Commands = {"lock": [lock.get(manager, f"{command} install")]}
        if manager == "npm":
            where = self.nearest("package-lock.json", "npm-shrinkwrap.json")
            prefix = "" if where in ("", ".") else f" --prefix {where}"
            found["setup"] = [f"npm{prefix} ci" if where else "npm install --no-package-lock"]
        else:
            found["setup"] = [setup[manager]]
        for target, names in (
            ("lint", ("lint", "lint:check", "check")),
            ("format", ("format", "lint:fix", "fmt", "format:write", "prettier:fix")),
        ):
            name = next((name for name in names if name in scripts), "")
            if name:
                found[target] = [self.script(name, "")]
        return found | self._node_tests(scripts, package)

    def _node_tests(self, scripts: Mapping[str, Any], package: Mapping[str, Any]) -> Commands:
        real = {name for name, text in scripts.items() if "no test specified" not in str(text)}
        found: Commands = {}
        unit = next((name for name in ("test:unit", "unit", "test:ci", "test") if name in real), "")
        service = next(
            (name for name in ("test:integration", "test:int", "integration", "test:service", "test:functional")
             if name in real), "",
        )  # fmt: skip
        if unit:
            text = str(scripts[unit])
            # This option outranks CI=true.
            if re.search(r" --watch(All)?(?![=\w])", text) and re.fullmatch(
                r"(vitest|jest|mocha)\b[^&|;$]*", text
            ):
                command = re.sub(r" --watch(All)?(?![=\w])", "", text)
                command = re.sub(r"^vitest\b(?! run)", "vitest run", command)
                found["test_unit"] = [f"npx {command} $(TESTS) $(ARGS)"]
            else:
                found["test_unit"] = [self.script(unit)]
        if service:
            found["test_service"] = [self.script(service)]
        if unit or service:
            return found
        known = {**(package.get("devDependencies") or {}), **(package.get("dependencies") or {})}
        for tool, command in (
            ("vitest", "npx vitest run"),
            ("jest", "npx jest"),
            ("mocha", "npx mocha"),
            ("ava", "npx ava"),
        ):
            if tool in known:
                return {"test_unit": [f"{command} $(TESTS) $(ARGS)"]}
        if any(
            re.search(r"(^|/)(test/.*|[^/]*[.\-_]test|test)\.[cm]?js$", name)
            for name in self.below()
        ):
            return {"test_unit": ["node --test $(ARGS) $(TESTS)"]}
        return {}

    # Other languages --------------------------------------------------------------

    def go(self) -> Commands:
        """Return the commands of a service in Go."""
        found: Commands = {
            "setup": ["go mod download"],
            "lint": ["go vet ./..."],
            "format": ["gofmt -w ."],
            "lock": ["go mod tidy"],
        }
        if any(name.startswith(".golangci.") for name in self.names):
            found["lint"] = ["golangci-lint run"]
        tests = [name for name in self.below() if name.endswith("_test.go")]
        if not tests:
            return found
        # Without -v, the number of passed tests is unknown.
        command, everything = "go test -v", "$(or $(TESTS),./...) $(ARGS)"
        found["test_unit"] = [f"{command} {everything}"]
        folder = re.compile(rf"(?:tests?/)?(?:{'|'.join((*INTEGRATION[:4], *E2E))})/")
        apart = sorted({match[0] for name in tests if (match := folder.match(name))})
        tag = build_tag(self.files, self.folder, GO_TAGS)
        if tag:
            found["test_service"] = [f"{command} -tags={tag} {everything}"]
        elif any("testing.Short()" in self.read(name) for name in tests):
            found["test_unit"] = [f"{command} -short {everything}"]
            found["test_service"] = [f"{command} {everything}"]
        elif apart:
            names = "|".join(name.rstrip("/") for name in apart)
            packages = f"$$(go list ./... | grep -vE '/({names})(/|$$)')"
            found["test_unit"] = [f"{command} $(or $(TESTS),{packages}) $(ARGS)"]
            if all(folder.match(name) for name in tests):
                del found["test_unit"]
            service = " ".join(
                f"./{name}..." for name in apart if not re.search("|".join(E2E), name)
            )
            if service:
                found["test_service"] = [f"{command} $(or $(TESTS),{service}) $(ARGS)"]
        return found

    def rust(self) -> Commands:
        """Return the commands of a service in Rust."""
        found: Commands = {
            "setup": ["cargo fetch"],
            "lint": ["cargo clippy"],
            "format": ["cargo fmt"],
            "lock": ["cargo update --workspace"],
        }
        sources = (name for name in self.below() if name.endswith(".rs"))
        if any(re.search(r"#\[[^\]\n]*test", self.read(name)) for name in sources):
            # Without the option, a package at the root of a workspace is tested alone.
            members = " --workspace" if "[workspace]" in self.read("Cargo.toml") else ""
            found["test_unit"] = [f"cargo test{members} $(TESTS) $(ARGS)"]
        return found

    def _wrapper(self, wrapper: str, command: str) -> str:
        where = self.nearest(wrapper)
        if not where:
            return command
        file = self.files.root / self.folder / where / wrapper
        # On Windows, git does not record that a file is executable.
        return f"{where}/{wrapper}" if os.access(file, os.X_OK) else f"sh {where}/{wrapper}"

    def java(self) -> Commands:
        """Return the commands of a service in Java or Kotlin, with Maven or Gradle."""
        if "pom.xml" in self.names:
            maven = f"{self._wrapper('mvnw', 'mvn')} --batch-mode"
            parent, name = posixpath.split(self.folder)
            modules = self.files.read(posixpath.join(parent, "pom.xml")) if name != "." else ""
            if f"<module>{name}</module>" in modules:
                # Maven builds the other modules that this one needs.
                maven += f" -f .. -pl {name} -am -Dsurefire.failIfNoSpecifiedTests=false"
            found = {
                "setup": [f"{maven} --quiet test-compile"],
                "test_unit": [f"{maven} test $(if $(TESTS),-Dtest='$(TESTS)') $(ARGS)"],
            }
            if "maven-failsafe-plugin" in self.read("pom.xml"):
                found["test_service"] = [
                    f"{maven} test-compile failsafe:integration-test failsafe:verify"
                    + " $(if $(TESTS),-Dit.test='$(TESTS)') $(ARGS)"
                ]
            return found
        text = self.read("build.gradle") + self.read("build.gradle.kts")
        gradle = self._wrapper("gradlew", "gradle")
        found = {
            "setup": [f"{gradle} testClasses"],
            "test_unit": [_gradle(gradle, "test")],
        }
        if re.search(r"\bintegrationTest\b", text):
            found["test_service"] = [_gradle(gradle, "integrationTest")]
        return found

    def dotnet(self) -> Commands:
        """Return the commands of a service in C# or F#."""
        found: Commands = {"setup": ["dotnet restore"]}
        if self.nearest(".editorconfig"):
            found |= {"lint": ["dotnet format --verify-no-changes"], "format": ["dotnet format"]}
        projects = [
            name
            for name in self.files.below(".")
            if re.search(r"\.(cs|fs|vb)proj$", name) and self._tests_dotnet(name)
        ]
        folders = sorted(
            {posixpath.relpath(posixpath.dirname(p) or ".", self.folder) for p in projects}
        )
        filtered = "$(if $(TESTS),--filter '$(TESTS)') $(ARGS)"
        service = [
            folder for folder in folders if re.search(r"integration|functional", folder.lower())
        ]
        unit = [folder for folder in folders if folder not in service]
        for target, chosen in (("test_unit", unit), ("test_service", service)):
            if chosen:
                found[target] = [
                    f"dotnet test {'' if folder == '.' else f'{folder} '}{filtered}"
                    for folder in chosen
                ]
        return found

    def _tests_dotnet(self, project: str) -> bool:
        """Whether a project of .NET has tests for this folder: it is inside, or refers to it."""
        text = self.files.read(project)
        if not re.search(r"Microsoft\.NET\.Test\.Sdk|MSTest|xunit|NUnit", text):
            return False
        prefix = "" if self.folder == "." else f"{self.folder}/"
        used = re.findall(r"<ProjectReference\s+Include=\"([^\"]+)\"", text)
        names = [
            posixpath.join(posixpath.dirname(project), name.replace("\\", "/")) for name in used
        ]
        return any(posixpath.normpath(name).startswith(prefix) for name in (project, *names))

    def ruby(self) -> Commands:
        """Return the commands of a service in Ruby."""
        gems = self.read("Gemfile") + self.read("Gemfile.lock")
        found: Commands = {"setup": ["bundle install"], "lock": ["bundle lock"]}
        if "rubocop" in gems:
            found |= {
                "lint": ["bundle exec rubocop"],
                "format": ["bundle exec rubocop --autocorrect"],
            }
        below = list(self.below())
        if any(name.startswith("spec/") and name.endswith("_spec.rb") for name in below):
            service = self.test_folders(("integration", "system"), r"_spec\.rb$")
            has_others = self._has_other_tests(service, r"^spec/.*_spec\.rb$")
            excluded = "".join(f" --exclude-pattern '{name}/**/*_spec.rb'" for name in service[:1])
            if len(service) > 1:
                excluded = f" --exclude-pattern '{{{','.join(service)}}}/**/*_spec.rb'"
            if has_others:
                found["test_unit"] = [f"bundle exec rspec{excluded} $(TESTS) $(ARGS)"]
            if service:
                folders = " ".join(service)
                found["test_service"] = [f"bundle exec rspec $(or $(TESTS),{folders}) $(ARGS)"]
        elif any(
            re.search(r"^test/.*_test\.rb$|^test/(.*/)?test_[^/]*\.rb$", name) for name in below
        ):
            if re.search(r"\brails\b", gems) and "bin/rails" in below:
                found["test_unit"] = ["bin/rails test $(TESTS) $(ARGS)"]
            elif "test" in self.read("Rakefile"):
                found["test_unit"] = [
                    "bundle exec rake test $(if $(TESTS),TEST='$(TESTS)') $(ARGS)"
                ]
            else:
                load = "ARGV.each { |name| require File.expand_path(name) }"
                tests = "$(or $(TESTS),$$(find test -name '*_test.rb' -o -name 'test_*.rb'))"
                found["test_unit"] = [f"bundle exec ruby -Ilib -Itest -e '{load}' {tests}"]
        return found

    def php(self) -> Commands:
        """Return the commands of a service in PHP."""
        found: Commands = {
            "setup": ["composer install --no-interaction"],
            "lock": ["composer update --lock"],
        }
        text = self.read("composer.json")
        config = self.read("phpunit.xml") or self.read("phpunit.xml.dist")
        tool = "vendor/bin/phpunit"
        if "pestphp/pest" in text:
            # The runner reads the report: it does not know the output of Pest.
            tool = 'vendor/bin/pest $${TEST_JUNIT:+--log-junit="$$TEST_JUNIT"}'
        elif "symfony/phpunit-bridge" in text and "phpunit/phpunit" not in text:
            tool = "vendor/bin/simple-phpunit"
        if (
            config
            or "phpunit-bridge" in text
            or "phpunit/phpunit" in text
            or "pestphp/pest" in text
        ):
            suites = re.findall(r"<testsuite\s+name=[\"']([\w -]+)[\"']", config)
            pattern = r"integration|functional|feature"
            service = ",".join(suite for suite in suites if re.search(pattern, suite.lower()))
            unit = ",".join(suite for suite in suites if not re.search(pattern, suite.lower()))
            if unit and service:
                found["test_unit"] = [f"{tool} --testsuite '{unit}' $(ARGS) $(TESTS)"]
                found["test_service"] = [f"{tool} --testsuite '{service}' $(ARGS) $(TESTS)"]
            else:
                found["test_unit"] = [f"{tool} $(ARGS) $(TESTS)"]
        return found

    def makefile(self) -> Commands:
        """Return the targets of the service's own Makefile; none for the Makefile at the root."""
        if self.folder == ".":
            return {}
        text = next(filter(None, map(self.read, ("GNUmakefile", "makefile", "Makefile"))), "")
        rules = re.findall(r"^([\w.-]+(?: +[\w.-]+)*) *::?(?![:=])", text, re.MULTILINE)
        targets = {name for names in rules for name in names.split()}
        found: Commands = {}
        for target, names in (
            ("test_unit", ("test-unit", "unit", "test", "check")),
            (
                "test_service",
                ("test-service", "test-integration", "integration", "integration-test"),
            ),
            ("lint", ("lint",)),
            ("format", ("format", "fmt")),
            ("setup", ("setup", "install", "deps")),
        ):
            name = next((name for name in names if name in targets), "")
            if name:
                found[target] = [f"$(MAKE) {name}"]
        return found


__all__ = ["commands_of", "integration_command"]
