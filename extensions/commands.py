"""Guesses the commands of an existing service: how its tests, its linter and its lock file are run.

A command is one line of a Makefile's recipe that runs in the service's folder. `$(TESTS)` and
`$(ARGS)` are variables of the Makefile: the selected tests, and options for the test tool. A target
without a guess is missing in the result.
"""

from __future__ import annotations

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
E2E = ("e2e", "end2end", "end_to_end", "end-to-end", "acceptance")

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
                return f"cd {folder} && {lines[0]}"
        names = [posixpath.basename(name) for name in files.below(folder)]
        if any(re.fullmatch(r"test_.+\.py|.+_test\.py", name) for name in names):
            guess = _Guess(files, ".", "")
            return f"{guess.pytest()} $(or $(TESTS),{folder}) $(ARGS)"
        if any(name.endswith("_test.go") for name in names):
            tags = guess_tags(files, folder)
            return f"go test {tags}$(or $(TESTS),./{folder}/...) $(ARGS)"
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


def guess_tags(files: SourceFiles, folder: str) -> str:
    """Return the option of go for the build tag of the integration tests; empty without a tag."""
    for name in files.below(folder):
        if name.endswith("_test.go"):
            match = re.search(r"^//go:build (integration|e2e)\b", files.read(name), re.MULTILINE)
            if match:
                return f"-tags={match[1]} "
    return ""


def _dockerfile(files: SourceFiles, item: Mapping[str, Any], folder: str) -> str:
    context = str(item.get("context") or folder)
    return posixpath.normpath(posixpath.join(context, str(item.get("dockerfile") or "Dockerfile")))


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
        found = []
        for parent in ("tests", "test", "spec", "__tests__"):
            for name in names:
                folder = f"{parent}/{name}"
                if any(
                    path.startswith(f"{folder}/") and re.search(pattern, path)
                    for path in self.below()
                ):
                    found.append(folder)
        return found

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
        if "poetry.lock" in self.names or "poetry" in tools:
            return "poetry", "uvx poetry run", ["uvx poetry install"], ["uvx poetry lock"]
        if "pdm.lock" in self.names or "pdm" in tools:
            return "pdm", "uvx pdm run", ["uvx pdm install"], ["uvx pdm lock"]
        if "Pipfile" in self.names:
            return "pipenv", "uvx pipenv run", ["uvx pipenv sync --dev"], ["uvx pipenv lock"]
        if isinstance(pyproject.get("project"), dict):
            options = self._uv_options(pyproject)
            return "uv", f"uv run{options}", [f"uv sync{options}"], ["uv lock"]
        requirements = self._requirements()
        files = "".join(f" --with-requirements {name}" for name in requirements)
        python = self._python_version()
        prefix = f"UV_PYTHON=$${{UV_PYTHON:-{python}}} " if python else ""
        command = f"{prefix}uv run --no-project{files}"
        return "requirements", command, [f"{command} true"] if files else [], []

    def _uv_options(self, pyproject: Mapping[str, Any]) -> str:
        """Return the options by which uv installs the test tools."""
        groups = pyproject.get("dependency-groups")
        extras = pyproject["project"].get("optional-dependencies")
        for option, found in (("group", groups), ("extra", extras)):
            for name in ("dev", "test", "tests", "testing"):
                if isinstance(found, dict) and name in found:
                    # uv installs the group dev without being asked.
                    return "" if (option, name) == ("group", "dev") else f" --{option} {name}"
        return ""

    def _requirements(self) -> list[str]:
        """Return the files with requirements, first those of the service, then those of its tests."""
        pattern = re.compile(
            r"requirements([-_.](dev|develop|development|test|tests|testing|local))?\.txt"
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
            or any(re.search(r"^(async )?def test_", self.read(name), re.MULTILINE) for name in tests[:50])
        )  # fmt: skip
        if uses_pytest:
            return found | self._pytest_targets(config)
        if "manage.py" in self.names:
            return found | {"test_unit": [f"{prefix} python manage.py test $(TESTS) $(ARGS)"]}
        if "noxfile.py" in self.names:
            return found | {"test_unit": ["uvx nox $(ARGS)"]}
        if "tox.ini" in self.names:
            return found | {"test_unit": ["uvx --with tox-uv tox $(ARGS)"]}
        return found | self._unittest_targets(prefix, tests)

    def _pytest_targets(self, config: str) -> Commands:
        command = self.pytest()
        pattern = r"(^|/)(test_[^/]*|[^/]*_test)\.py$"
        service = self.test_folders(INTEGRATION, pattern)
        # Tests of the whole project need more than the service's own stack.
        apart = service + self.test_folders(E2E, pattern)
        unit = self.test_folders(("unit",), pattern)
        if unit or apart:
            first = unit[0] if unit else " ".join(f"--ignore={folder}" for folder in apart)
            targets = {"test_unit": [f"{command} $(or $(TESTS),{first}) $(ARGS)"]}
            if not unit and not self._has_other_tests(apart, pattern):
                targets = {}
            if service:
                targets["test_service"] = [f"{command} $(or $(TESTS),{service[0]}) $(ARGS)"]
            return targets
        marker = re.search(
            r"(?:^\s*|[\"'])(integration|functional|live|e2e|smoke|system)(?::|[\"'],?$|\s*$)",
            config,
            re.MULTILINE,
        )
        if marker and "markers" in config:
            return {
                "test_unit": [f'{command} -m "not {marker[1]}" $(TESTS) $(ARGS)'],
                "test_service": [f"{command} -m {marker[1]} $(TESTS) $(ARGS)"],
            }
        return {"test_unit": [f"{command} $(TESTS) $(ARGS)"]}

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
            return found | ({"test_service": [discover(service[0])]} if service else {})
        folders = {name.partition("/")[0] if "/" in name else "." for name in tests}
        command = discover(folders.pop() if len(folders) == 1 else ".")
        if not any(re.search(pattern, name) for name in tests):
            # unittest only finds other names if they are given.
            command = command.replace("discover", "discover -p '*_test.py'", 1)
        return {"test_unit": [command]}

    def _python_style(self, prefix: str) -> Commands:
        text = self._python_text() + self.read("setup.cfg") + self.read("tox.ini")
        if self.nearest("ruff.toml", ".ruff.toml") or re.search(r"\[tool\.ruff|\bruff\b", text):
            ruff = f"{prefix} ruff" if re.search(r"^\W*ruff\b", text, re.MULTILINE) else "uvx ruff"
            return {
                "lint": [f"{ruff} check ."],
                "format": [f"{ruff} check --fix --exit-zero .", f"{ruff} format ."],
            }
        found: Commands = {}
        if re.search(r"\bflake8\b", text) or ".flake8" in self.names:
            found["lint"] = ["uvx flake8 ."]
        if re.search(r"\[tool\.black|^\W*black\b", text, re.MULTILINE):
            found["lint"] = [*found.get("lint", []), "uvx black --check ."]
            found["format"] = ["uvx black ."]
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
            return "berry", "npx --yes @yarnpkg/cli-dist"
        if self.nearest("bun.lock", "bun.lockb"):
            return "bun", "npx --yes bun"
        if stated.startswith("pnpm@"):
            return "pnpm", f"npx --yes {stated}"
        return "npm", "npm"

    def script(self, name: str, options: str = "$(TESTS) $(ARGS)") -> str:
        """Return the command that runs a script of the package.json."""
        manager, command = self._manager()
        scripts = package_json(self.files, self.folder).get("scripts")
        text = str(scripts.get(name, "")) if isinstance(scripts, dict) else ""
        # These tools watch the sources on a terminal, unless they run in CI.
        watches = re.search(r"react-scripts test|\bvitest\b(?! run)|\bng test\b|jest --watch", text)
        prefix = "CI=true " if watches else ""
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
        if any(name.endswith("_test.go") for name in self.below()):
            found["test_unit"] = ["go test $(or $(TESTS),./...) $(ARGS)"]
            if tags := guess_tags(self.files, self.folder):
                found["test_service"] = [f"go test {tags}$(or $(TESTS),./...) $(ARGS)"]
        return found

    def rust(self) -> Commands:
        """Return the commands of a service in Rust."""
        return {
            "setup": ["cargo fetch"],
            "test_unit": ["cargo test $(TESTS) $(ARGS)"],
            "lint": ["cargo clippy"],
            "format": ["cargo fmt"],
            "lock": ["cargo update --workspace"],
        }

    def _wrapper(self, wrapper: str, command: str) -> str:
        where = self.nearest(wrapper)
        return f"{where}/{wrapper}" if where else command

    def java(self) -> Commands:
        """Return the commands of a service in Java or Kotlin, with Maven or Gradle."""
        if "pom.xml" in self.names:
            maven = f"{self._wrapper('mvnw', 'mvn')} --batch-mode"
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
            "test_unit": [f"{gradle} test $(if $(TESTS),--tests '$(TESTS)') $(ARGS)"],
        }
        if re.search(r"\bintegrationTest\b", text):
            found["test_service"] = [
                f"{gradle} integrationTest $(if $(TESTS),--tests '$(TESTS)') $(ARGS)"
            ]
        return found

    def dotnet(self) -> Commands:
        """Return the commands of a service in C# or F#."""
        found: Commands = {"setup": ["dotnet restore"]}
        if self.nearest(".editorconfig"):
            found |= {"lint": ["dotnet format --verify-no-changes"], "format": ["dotnet format"]}
        parent = posixpath.dirname(self.folder)
        projects = [
            name
            for folder in dict.fromkeys([self.folder, parent or self.folder])
            for name in self.files.below(folder)
            if re.search(r"\.(cs|fs|vb)proj$", name)
            and re.search(r"Microsoft\.NET\.Test\.Sdk|MSTest|xunit|NUnit", self.files.read(name))
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
            service = self.test_folders(("integration", "requests", "system"), r"_spec\.rb$")
            unit = self.test_folders(("unit",), r"_spec\.rb$")
            chosen = f"$(or $(TESTS),{unit[0]})" if unit and service else "$(TESTS)"
            found["test_unit"] = [f"bundle exec rspec {chosen} $(ARGS)"]
            if unit and service:
                found["test_service"] = [f"bundle exec rspec $(or $(TESTS),{service[0]}) $(ARGS)"]
        elif any(
            re.search(r"^test/.*_test\.rb$|^test/(.*/)?test_[^/]*\.rb$", name) for name in below
        ):
            rails = re.search(r"\brails\b", gems) and "bin/rails" in below
            found["test_unit"] = [
                "bin/rails test $(TESTS) $(ARGS)" if rails else "bundle exec rake test $(ARGS)"
            ]
        return found

    def php(self) -> Commands:
        """Return the commands of a service in PHP."""
        found: Commands = {
            "setup": ["composer install --no-interaction"],
            "lock": ["composer update --lock"],
        }
        text = self.read("composer.json")
        config = self.read("phpunit.xml") or self.read("phpunit.xml.dist")
        tool = "vendor/bin/pest" if "pestphp/pest" in text else "vendor/bin/phpunit"
        if config or "phpunit/phpunit" in text or "pestphp/pest" in text:
            suites = re.findall(r"<testsuite\s+name=[\"']([\w -]+)[\"']", config)
            unit = next((suite for suite in suites if "unit" in suite.lower()), "")
            service = next(
                (s for s in suites if re.search(r"integration|functional|feature", s.lower())), ""
            )
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
        text = self.read("Makefile")
        targets = set(re.findall(r"^([\w.-]+)\s*:(?!=)", text, re.MULTILINE))
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
