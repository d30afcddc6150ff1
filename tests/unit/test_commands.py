"""The commands that adoption guesses for the tests, the style and the lock file of a service."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from extensions.commands import commands_of, integration_command

from .repositories import write

UNITTEST = "import unittest\n\n\nclass T(unittest.TestCase):\n    def test_x(self):\n        pass\n"
PYTEST = "def test_x():\n    pass\n"
MARKED = "import pytest\n\npytestmark = pytest.mark.integration\n"
PROJECT = '[project]\nname = "x"\ndependencies = ["pytest"]\n'
FREE = "uv run --no-project"
GO = {"go.mod": "module x\n", "x_test.go": "package x\n"}


def guess(root: Path, files: Mapping[str, str], path: str = "app") -> dict[str, str]:
    """Return the commands for a folder, the lines of each target joined by ` ; `."""
    write(root, files)
    found = commands_of(root, {"name": "app", "path": path})
    return {target: " ; ".join(lines) for target, lines in found.items()}


def check(root: Path, files: Mapping[str, str], wanted: Mapping[str, str | None]) -> None:
    """Check the commands of a service in the folder app. None: no guess is possible."""
    found = guess(root, {f"app/{name}": text for name, text in files.items()})
    # The targets that a test does not name are those of other tests.
    assert {target: found.get(target) for target in wanted} == wanted


Case = tuple[str, dict[str, str], dict[str, str | None]]


def table(*cases: Case) -> pytest.MarkDecorator:
    """Parametrize a test with cases: a name, the files, and the commands."""
    return pytest.mark.parametrize(
        ("files", "wanted"), [case[1:] for case in cases], ids=[case[0] for case in cases]
    )


ALL, ARGS = "$(TESTS) $(ARGS)", "$(ARGS)"

PYTHON_TOOLS = table(
    ("uv", {"pyproject.toml": PROJECT, "uv.lock": ""}, {
        "setup": "uv sync", "lock": "uv lock", "test_unit": f"uv run pytest {ALL}",
        "test_service": None,
    }),
    ("a group of uv", {
        "pyproject.toml": '[project]\nname = "x"\n[dependency-groups]\ntest = ["pytest"]\n',
    }, {"setup": "uv sync --group test", "test_unit": f"uv run --group test pytest {ALL}"}),
    ("the group dev is there without an option", {
        "pyproject.toml": '[project]\nname = "x"\n[dependency-groups]\ndev = ["pytest"]\n',
    }, {"setup": "uv sync", "test_unit": f"uv run pytest {ALL}"}),
    ("of two groups, the one with pytest", {
        "pyproject.toml": '[project]\nname = "x"\n[project.optional-dependencies]\n'
        'dev = ["black"]\ntest = ["pytest"]\n',
    }, {"setup": "uv sync --extra test", "test_unit": f"uv run --extra test pytest {ALL}"}),
    ("a project whose requirements have pytest", {
        "pyproject.toml": '[project]\nname = "x"\n', "requirements-dev.txt": "pytest\n",
    }, {
        "setup": "uv sync",
        "test_unit": f"uv run --with-requirements requirements-dev.txt pytest {ALL}",
    }),
    ("pytest is in no file", {"pyproject.toml": '[project]\nname = "x"\n'}, {
        "test_unit": f"uv run --with pytest pytest {ALL}",
    }),
    ("uv.lock outranks the settings of a build tool", {
        "pyproject.toml": PROJECT + "[tool.pdm]\n", "uv.lock": "",
    }, {"setup": "uv sync", "test_unit": f"uv run pytest {ALL}"}),
    ("requirements", {"requirements.txt": "flask\n", "requirements-dev.txt": "pytest\n"}, {
        "setup": f"{FREE} --with-requirements requirements.txt"
        " --with-requirements requirements-dev.txt true",
        "test_unit": f"{FREE} --with-requirements requirements.txt"
        f" --with-requirements requirements-dev.txt pytest {ALL}",
        "lock": None,
    }),
    ("requirements of the tests, in their folder", {
        "requirements.txt": "flask\n", "tests/requirements.txt": "pytest\n",
    }, {
        "test_unit": f"{FREE} --with-requirements requirements.txt"
        f" --with-requirements tests/requirements.txt pytest {ALL}",
    }),
    ("a package with setup.py", {
        "setup.py": "setup(install_requires=['flask'])\n", "requirements.txt": "pytest\n",
    }, {
        "test_unit": f"{FREE} --with-requirements requirements.txt --with-editable . pytest {ALL}",
    }),
    ("the version of the image", {"requirements.txt": "pytest\n", "Dockerfile": "FROM python:3.12\n"}, {
        "test_unit": "UV_PYTHON=$${UV_PYTHON:-3.12} uv run --no-project"
        f" --with-requirements requirements.txt pytest {ALL}",
    }),
    ("Poetry", {"pyproject.toml": '[tool.poetry]\nname = "x"\n[tool.poetry.group.dev.dependencies]\npytest = "*"\n'}, {
        "setup": "uvx poetry install", "lock": "uvx poetry lock",
        "test_unit": f"uvx poetry run pytest {ALL}",
    }),
    ("Poetry with an optional group", {
        "pyproject.toml": '[tool.poetry]\n[tool.poetry.group.test]\noptional = true\n'
        '[tool.poetry.group.test.dependencies]\npytest = "*"\n',
    }, {"setup": "uvx poetry install --with test"}),
    ("PDM", {"pyproject.toml": PROJECT, "pdm.lock": ""}, {
        "setup": "uvx pdm install", "lock": "uvx pdm lock",
        "test_unit": f"uvx pdm run pytest {ALL}",
    }),
    ("Pipenv", {"Pipfile": '[dev-packages]\npytest = "*"\n', "Pipfile.lock": "{}"}, {
        "setup": "uvx pipenv sync --dev", "test_unit": f"uvx pipenv run pytest {ALL}",
    }),
    ("Pipenv without a lock file", {"Pipfile": '[dev-packages]\npytest = "*"\n'}, {
        "setup": "uvx pipenv install --dev",
    }),
    ("a broken manifest", {"pyproject.toml": "[project", "requirements.txt": "pytest\n"}, {
        "test_unit": f"{FREE} --with-requirements requirements.txt pytest {ALL}",
    }),
)  # fmt: skip


@PYTHON_TOOLS
def test_the_tool_that_installs(
    tmp_path: Path, files: dict[str, str], wanted: dict[str, str | None]
) -> None:
    check(tmp_path, {"test_x.py": PYTEST, **files}, wanted)


MARKERS = '[tool.pytest.ini_options]\nmarkers = ["slow: x", "integration: y"]\n'
RUN = "uv run pytest"

PYTEST_PARTS = table(
    ("two folders", {"tests/unit/test_a.py": "", "tests/integration/test_b.py": ""}, {
        "test_unit": f"{RUN} $(or $(TESTS),tests/unit) {ARGS}",
        "test_service": f"{RUN} $(or $(TESTS),tests/integration) {ARGS}",
    }),
    ("tests beside the folder of integration tests", {
        "tests/test_a.py": "", "tests/integration/test_b.py": "",
    }, {
        "test_unit": f"{RUN} $(or $(TESTS),--ignore=tests/integration) {ARGS}",
        "test_service": f"{RUN} $(or $(TESTS),tests/integration) {ARGS}",
    }),
    ("tests in a third folder run too", {
        "tests/unit/test_a.py": "", "tests/integration/test_b.py": "", "tests/api/test_c.py": "",
    }, {"test_unit": f"{RUN} $(or $(TESTS),--ignore=tests/integration) {ARGS}"}),
    ("two folders of service tests", {
        "tests/unit/test_a.py": "", "tests/integration/test_b.py": "",
        "tests/functional/test_c.py": "",
    }, {"test_service": f"{RUN} $(or $(TESTS),tests/functional tests/integration) {ARGS}"}),
    ("only integration tests", {"tests/integration/test_b.py": ""}, {
        "test_unit": None, "test_service": f"{RUN} $(or $(TESTS),tests/integration) {ARGS}",
    }),
    ("folders inside the package", {
        "src/x/tests/unit/test_a.py": "", "src/x/tests/integration/test_b.py": "",
    }, {
        "test_unit": f"{RUN} $(or $(TESTS),src/x/tests/unit) {ARGS}",
        "test_service": f"{RUN} $(or $(TESTS),src/x/tests/integration) {ARGS}",
    }),
    ("tests of the whole project are left out", {"tests/test_a.py": "", "tests/e2e/test_b.py": ""}, {
        "test_unit": f"{RUN} $(or $(TESTS),--ignore=tests/e2e) {ARGS}", "test_service": None,
    }),
    ("a folder without tests", {"tests/test_a.py": "", "tests/integration/data.json": ""}, {
        "test_unit": f"{RUN} {ALL}", "test_service": None,
    }),
    ("a marker", {"pyproject.toml": PROJECT + MARKERS, "tests/test_a.py": "", "tests/test_b.py": MARKED}, {
        "test_unit": f'{RUN} -m "not integration" {ALL}',
        "test_service": f"{RUN} -m integration {ALL}",
    }),
    ("a marker in pytest.ini", {
        "pytest.ini": "[pytest]\nmarkers =\n    integration: y\n", "tests/test_b.py": MARKED,
    }, {"test_service": f"{RUN} -m integration {ALL}"}),
    ("a marker without a description", {
        "pyproject.toml": PROJECT + '[tool.pytest.ini_options]\nmarkers = ["integration"]\n',
        "tests/test_b.py": MARKED,
    }, {"test_service": f"{RUN} -m integration {ALL}"}),
    ("a marker that no test has", {
        "pyproject.toml": PROJECT + MARKERS, "tests/test_a.py": PYTEST,
    }, {"test_unit": f"{RUN} {ALL}", "test_service": None}),
    ("a marker that conftest.py adds", {
        "pyproject.toml": PROJECT + MARKERS, "tests/test_a.py": PYTEST,
        "tests/conftest.py": "item.add_marker('integration')\n",
    }, {"test_service": f"{RUN} -m integration {ALL}"}),
    ("two markers", {
        "pyproject.toml": PROJECT + '[tool.pytest.ini_options]\nmarkers = ["live: x", "e2e: y"]\n',
        "tests/test_a.py": "@pytest.mark.live\n", "tests/test_b.py": "@pytest.mark.e2e\n",
    }, {
        "test_unit": f'{RUN} -m "not live and not e2e" {ALL}',
        "test_service": f"{RUN} -m live {ALL}",
    }),
)  # fmt: skip


@PYTEST_PARTS
def test_pytest_gets_its_part_of_the_tests(
    tmp_path: Path, files: dict[str, str], wanted: dict[str, str | None]
) -> None:
    check(tmp_path, {"pyproject.toml": PROJECT, **files}, wanted)


UNIT = f"{FREE} python -m unittest"
TOX = "[tox]\nenvlist = py39,lint\n[testenv]\ndeps =\n    pytest\ncommands = pytest {posargs}\n"

OTHER_PYTHON = table(
    ("unittest at the top", {"test_x.py": UNITTEST}, {
        "test_unit": f"{UNIT} $(or $(TESTS),discover) {ARGS}",
    }),
    ("unittest in a package", {"tests/__init__.py": "", "tests/test_x.py": UNITTEST}, {
        "test_unit": f"{UNIT} $(or $(TESTS),discover -s tests -t .) {ARGS}",
    }),
    ("unittest in a plain folder", {"tests/test_x.py": UNITTEST}, {
        "test_unit": f"{UNIT} $(or $(TESTS),discover -s tests) {ARGS}",
    }),
    ("unittest in two folders", {
        "tests/unit/test_x.py": UNITTEST, "tests/integration/test_y.py": UNITTEST,
    }, {
        "test_unit": f"{UNIT} $(or $(TESTS),discover -s tests/unit) {ARGS}",
        "test_service": f"{UNIT} $(or $(TESTS),discover -s tests/integration) {ARGS}",
    }),
    ("names that unittest does not look for", {"x_test.py": UNITTEST}, {
        "test_unit": f"{UNIT} $(or $(TESTS),discover -p '*_test.py') {ARGS}",
    }),
    ("classes without unittest are for pytest", {"test_x.py": "class TestX:\n    pass\n"}, {
        "test_unit": f"{FREE} --with pytest pytest {ALL}",
    }),
    ("Django", {"manage.py": "import django\n", "shop/tests.py": UNITTEST}, {
        "test_unit": f"{FREE} python manage.py test {ALL}",
    }),
    ("Django in a subfolder", {"src/manage.py": "import django\n", "src/shop/tests.py": UNITTEST}, {
        "test_unit": f"{FREE} python src/manage.py test $(or $(TESTS),src) {ARGS}",
    }),
    ("Django with pytest", {"manage.py": "", "requirements.txt": "pytest-django\n", "tests/test_x.py": UNITTEST}, {
        "test_unit": f"{FREE} --with-requirements requirements.txt pytest {ALL}",
    }),
    ("tox with its own dependencies", {"tox.ini": TOX, "test_x.py": PYTEST}, {
        "test_unit": f"uvx --with tox-uv tox -e py -- {ALL}",
    }),
    ("tox with unittest and without a general environment", {
        "tox.ini": "[testenv:unit]\ncommands = python -m unittest\n", "test_x.py": UNITTEST,
    }, {"test_unit": f"uvx --with tox-uv tox {ARGS}"}),
    ("tox, but the requirements are enough", {
        "tox.ini": TOX, "requirements.txt": "pytest\n", "test_x.py": PYTEST,
    }, {"test_unit": f"{FREE} --with-requirements requirements.txt pytest {ALL}"}),
    ("nox", {
        "noxfile.py": "@nox.session\ndef lint(session):\n    ...\n@nox.session(python='3.13')\n"
        "def tests(session):\n    session.install('pytest')\n    session.run('pytest', *session.posargs)\n",
        "test_x.py": PYTEST,
    }, {"test_unit": f"uvx nox -s tests -- {ALL}"}),
    ("no tests", {"main.py": "", "contest.py": "", "latest.py": ""}, {
        "test_unit": None, "test_service": None, "setup": None,
    }),
)  # fmt: skip


@OTHER_PYTHON
def test_other_tools_of_python(
    tmp_path: Path, files: dict[str, str], wanted: dict[str, str | None]
) -> None:
    write(tmp_path / "app", files)
    item = {"name": "app", "path": "app", "language": "python"}
    found = commands_of(tmp_path, item)
    assert {
        target: " ; ".join(found[target]) if target in found else None for target in wanted
    } == wanted


PYTHON_STYLE = table(
    ("ruff", {"pyproject.toml": PROJECT + "[tool.ruff]\n"}, {
        "lint": "uvx ruff check .", "format": "uvx ruff check --fix --exit-zero . ; uvx ruff format .",
    }),
    ("flake8 and black", {"requirements.txt": "flake8\nblack\n"}, {
        "lint": "uvx flake8 . ; uvx black --check .", "format": "uvx black .",
    }),
    ("nothing", {"pyproject.toml": PROJECT}, {"lint": None, "format": None}),
)  # fmt: skip


@PYTHON_STYLE
def test_the_style_of_python(
    tmp_path: Path, files: dict[str, str], wanted: dict[str, str | None]
) -> None:
    check(tmp_path, files, wanted)


def test_at_the_root_the_templates_own_scripts_are_not_checked(tmp_path: Path) -> None:
    files = {"requirements.txt": "ruff\n"}
    assert "ruff check --extend-exclude scripts ." in guess(tmp_path / "a", files, ".")["lint"]
    files = {"requirements.txt": "black\n"}
    lint = guess(tmp_path / "b", files, ".")["lint"]
    assert lint == "uvx black --check --extend-exclude '^/scripts/' ."


def scripts(**names: str) -> dict[str, str]:
    """Return a package.json with scripts; `__` stands for a colon."""
    lines = ", ".join(f'"{name.replace("__", ":")}": "{text}"' for name, text in names.items())
    return {"package.json": f'{{"scripts": {{{lines}}}}}'}


NPM = "npm run --silent"

NODE = table(
    ("npm", scripts(test="jest", lint="eslint .") | {"package-lock.json": ""}, {
        "setup": "npm ci", "test_unit": f"{NPM} test -- {ALL}", "lint": f"{NPM} lint",
        "test_service": None, "lock": "npm install --package-lock-only",
    }),
    ("npm without a lock file", scripts(test="mocha"), {"setup": "npm install --no-package-lock"}),
    ("vitest would watch", scripts(test="vitest"), {"test_unit": f"CI=true {NPM} test -- {ALL}"}),
    ("vitest run", scripts(test="vitest run"), {"test_unit": f"{NPM} test -- {ALL}"}),
    ("jest would watch", scripts(test="jest --watch --coverage"), {
        "test_unit": f"npx jest --coverage {ALL}",
    }),
    ("vitest that watches whatever CI says", scripts(test="vitest --watch"), {
        "test_unit": f"npx vitest run {ALL}",
    }),
    ("an option that only starts with watch", scripts(test="jest --watchman=false"), {
        "test_unit": f"{NPM} test -- {ALL}",
    }),
    ("Angular", scripts(test="ng test"), {
        "test_unit": f"CI=true {NPM} test -- --watch=false {ALL}",
    }),
    ("node:test", scripts(test="node --test"), {"test_unit": f"{NPM} test -- {ALL}"}),
    ("two scripts", scripts(test="npm run test:unit", test__unit="jest unit", test__integration="jest it"), {
        "test_unit": f"{NPM} test:unit -- {ALL}", "test_service": f"{NPM} test:integration -- {ALL}",
    }),
    ("the script that npm init writes", scripts(test="echo \\\"Error: no test specified\\\" && exit 1"), {
        "test_unit": None, "setup": None,
    }),
    ("a test tool without a script", {"package.json": '{"devDependencies": {"vitest": "3"}}'}, {
        "test_unit": f"npx vitest run {ALL}",
    }),
    ("tests without a tool", {"package.json": "{}", "lib/sum.test.mjs": ""}, {
        "test_unit": "node --test $(ARGS) $(TESTS)",
    }),
    ("pnpm", scripts(test="jest") | {"pnpm-lock.yaml": "lockfileVersion: '6.0'\n"}, {
        "setup": "npx --yes pnpm@8 install --frozen-lockfile",
        "test_unit": f"npx --yes pnpm@8 run test {ALL}",
        "lock": "npx --yes pnpm@8 install --lockfile-only",
    }),
    ("the stated version of pnpm", {
        "package.json": '{"packageManager": "pnpm@10.1.0+sha512.ab", "scripts": {"test": "jest"}}',
        "pnpm-lock.yaml": "lockfileVersion: '9.0'\n",
    }, {"test_unit": f"npx --yes pnpm@10.1.0 run test {ALL}"}),
    ("yarn 1", scripts(test="jest") | {"yarn.lock": "# yarn lockfile v1\n"}, {
        "setup": "npx --yes yarn@1 install --frozen-lockfile",
        "test_unit": f"npx --yes yarn@1 run test {ALL}",
    }),
    ("a newer yarn", {
        "package.json": '{"packageManager": "yarn@4.6.0", "scripts": {"test": "jest"}}',
        "yarn.lock": "__metadata:\n",
    }, {
        "setup": "npx --yes @yarnpkg/cli-dist@4.6.0 install --immutable",
        "test_unit": f"npx --yes @yarnpkg/cli-dist@4.6.0 run test {ALL}",
    }),
    ("bun", scripts(test="vitest run") | {"bun.lock": ""}, {
        "test_unit": f"npx --yes bun run test {ALL}",
    }),
    ("a broken manifest", {"package.json": "{"}, {"test_unit": None}),
)  # fmt: skip


@NODE
def test_the_scripts_of_node(
    tmp_path: Path, files: dict[str, str], wanted: dict[str, str | None]
) -> None:
    check(tmp_path, files, wanted)


def test_a_workspace_is_installed_at_its_root(tmp_path: Path) -> None:
    files = {"package.json": "{}", "package-lock.json": ""}
    app = {f"packages/app/{name}": text for name, text in scripts(test="jest").items()}
    found = guess(tmp_path, files | app, "packages/app")
    assert found["setup"] == "npm --prefix ../.. ci"
    assert found["test_unit"] == f"{NPM} test -- {ALL}"


EVERY = "$(or $(TESTS),./...) $(ARGS)"
CSPROJ = '<Project><PackageReference Include="Microsoft.NET.Test.Sdk"/>{}</Project>'
SUITES = '<testsuites><testsuite name="{}"/><testsuite name="{}"/></testsuites>'
POM = {"pom.xml": "<project/>", "src/test/java/XTest.java": ""}
MAVEN = "mvn --batch-mode"

OTHERS = table(
    # Without -v, the number of passed tests is unknown.
    ("go", GO, {"test_unit": f"go test -v {EVERY}", "test_service": None}),
    ("go with a build tag", GO | {"it_test.go": "//go:build integration\n\npackage x\n"}, {
        "test_unit": f"go test -v {EVERY}", "test_service": f"go test -v -tags=integration {EVERY}",
    }),
    ("go with an old build tag", GO | {"it_test.go": "// +build functional\n\npackage x\n"}, {
        "test_service": f"go test -v -tags=functional {EVERY}",
    }),
    ("go with short tests", {"go.mod": "", "x_test.go": "package x\nif testing.Short() {\n"}, {
        "test_unit": f"go test -v -short {EVERY}", "test_service": f"go test -v {EVERY}",
    }),
    ("go with a folder", GO | {"integration/api_test.go": "package it\n"}, {
        "test_unit": "go test -v $(or $(TESTS),$$(go list ./... | grep -vE '/(integration)(/|$$)'))"
        f" {ARGS}",
        "test_service": f"go test -v $(or $(TESTS),./integration/...) {ARGS}",
    }),
    ("go without tests", {"go.mod": ""}, {"test_unit": None, "lint": "go vet ./..."}),
    ("cargo", {"Cargo.toml": "", "src/lib.rs": "#[cfg(test)]\nmod tests {}\n"}, {
        "test_unit": f"cargo test {ALL}",
    }),
    ("cargo with a workspace", {"Cargo.toml": "[package]\n[workspace]\n", "tests/it.rs": "#[tokio::test]\n"}, {
        "test_unit": f"cargo test --workspace {ALL}",
    }),
    ("cargo without tests", {"Cargo.toml": "", "src/main.rs": "fn main() {}\n"}, {"test_unit": None}),
    ("maven", POM, {"test_unit": f"{MAVEN} test $(if $(TESTS),-Dtest='$(TESTS)') {ARGS}"}),
    ("maven with failsafe", POM | {"pom.xml": "<artifactId>maven-failsafe-plugin</artifactId>"}, {
        "test_service": f"{MAVEN} test-compile failsafe:integration-test failsafe:verify"
        f" $(if $(TESTS),-Dit.test='$(TESTS)') {ARGS}",
    }),
    ("a wrapper that git did not record as executable", POM | {"mvnw": ""}, {
        "test_unit": f"sh ./mvnw --batch-mode test $(if $(TESTS),-Dtest='$(TESTS)') {ARGS}",
    }),
    ("gradle", {"build.gradle": "", "src/test/java/XTest.java": ""}, {
        "test_unit": f"gradle cleanTest test $(if $(TESTS),--tests '$(TESTS)') {ARGS}; code=$$?;"
        ' [ -z "$$TEST_JUNIT" ] || cp -r build/test-results/test "$$TEST_JUNIT"; exit $$code',
    }),
    ("dotnet", {"x.csproj": "", "tests/Unit/Unit.csproj": CSPROJ, "tests/Integration/I.csproj": CSPROJ}, {
        "test_unit": f"dotnet test tests/Unit $(if $(TESTS),--filter '$(TESTS)') {ARGS}",
        "test_service": f"dotnet test tests/Integration $(if $(TESTS),--filter '$(TESTS)') {ARGS}",
    }),
    ("rspec", {"Gemfile": "rubocop\n", "spec/x_spec.rb": ""}, {
        "setup": "bundle install", "test_unit": f"bundle exec rspec {ALL}",
        "lint": "bundle exec rubocop", "test_service": None,
    }),
    ("rspec with folders", {
        "Gemfile": "", "spec/unit/x_spec.rb": "", "spec/lib/y_spec.rb": "",
        "spec/integration/z_spec.rb": "",
    }, {
        "test_unit": f"bundle exec rspec --exclude-pattern 'spec/integration/**/*_spec.rb' {ALL}",
        "test_service": f"bundle exec rspec $(or $(TESTS),spec/integration) {ARGS}",
    }),
    ("minitest", {"Gemfile": "", "Rakefile": "Rake::TestTask.new\ntest\n", "test/x_test.rb": ""}, {
        "test_unit": f"bundle exec rake test $(if $(TESTS),TEST='$(TESTS)') {ARGS}",
    }),
    ("rails", {"Gemfile": "gem 'rails'\n", "bin/rails": "", "test/models/x_test.rb": ""}, {
        "test_unit": f"bin/rails test {ALL}",
    }),
    ("phpunit", {"composer.json": '{"require-dev": {"phpunit/phpunit": "11"}}'}, {
        "setup": "composer install --no-interaction",
        "test_unit": "vendor/bin/phpunit $(ARGS) $(TESTS)",
    }),
    ("phpunit with suites", {"composer.json": "{}", "phpunit.xml.dist": SUITES.format("Unit", "Feature")}, {
        "test_unit": "vendor/bin/phpunit --testsuite 'Unit' $(ARGS) $(TESTS)",
        "test_service": "vendor/bin/phpunit --testsuite 'Feature' $(ARGS) $(TESTS)",
    }),
    ("pest", {"composer.json": '{"require-dev": {"pestphp/pest": "3"}}'}, {
        "test_unit": 'vendor/bin/pest $${TEST_JUNIT:+--log-junit="$$TEST_JUNIT"} $(ARGS) $(TESTS)',
    }),
    ("the bridge of Symfony", {"composer.json": '{"require-dev": {"symfony/phpunit-bridge": "7"}}'}, {
        "test_unit": "vendor/bin/simple-phpunit $(ARGS) $(TESTS)",
    }),
    ("composer without tests", {"composer.json": "{}"}, {"test_unit": None}),
    ("their own Makefile", {
        "Makefile": "test := x\ntest: build\n\ttrue\nintegration lint:\n\ttrue\nfmt::\n\ttrue\n",
    }, {
        "test_unit": "$(MAKE) test", "test_service": "$(MAKE) integration", "lint": "$(MAKE) lint",
        "format": "$(MAKE) fmt", "setup": None,
    }),
    ("a Makefile without tests", {"Makefile": "test := x\nbuild:\n\ttrue\n"}, {"test_unit": None}),
    ("their Makefile has tests that no tool is known for", {"go.mod": "", "Makefile": "test:\n\ttrue\n"}, {
        "test_unit": "$(MAKE) test", "lint": "go vet ./...",
    }),
)  # fmt: skip


@OTHERS
def test_other_languages(
    tmp_path: Path, files: dict[str, str], wanted: dict[str, str | None]
) -> None:
    check(tmp_path, files, wanted)


def test_a_module_of_maven_is_built_with_the_modules_that_it_needs(tmp_path: Path) -> None:
    files = {"pom.xml": "<module>web</module>", "web/pom.xml": ""}
    unit = guess(tmp_path, files, "web")["test_unit"]
    assert unit.startswith("mvn --batch-mode -f .. -pl web -am ")


def test_tests_of_dotnet_belong_to_the_project_that_they_refer_to(tmp_path: Path) -> None:
    reference = '<ProjectReference Include="..\\..\\src\\Api\\Api.csproj" />'
    files = {
        "src/Api/Api.csproj": "", "src/Basket/Basket.csproj": "",
        "tests/Api.Tests/Api.Tests.csproj": CSPROJ.format(reference),
    }  # fmt: skip
    unit = guess(tmp_path, files, "src/Api")["test_unit"]
    assert unit.startswith("dotnet test ../../tests/Api.Tests ")
    assert "test_unit" not in guess(tmp_path, files, "src/Basket")


def test_the_makefile_at_the_root_is_not_called(tmp_path: Path) -> None:
    # Its target test may start the whole pipeline.
    assert guess(tmp_path, {"Makefile": "test:\n\ttrue\n"}, ".") == {}


INTEGRATION = table(
    ("none", {"tests/test_x.py": PYTEST}, {"": ""}),
    ("pytest", {"pyproject.toml": PROJECT, "tests/integration/test_x.py": PYTEST}, {
        "": f"uv run pytest $(or $(TESTS),tests/integration) {ARGS}",
    }),
    ("a project of their own", {"e2e/pyproject.toml": PROJECT, "e2e/test_x.py": PYTEST}, {
        "": f"cd e2e && uv run pytest {ALL}",
    }),
    ("packages of their own", {"e2e/package.json": '{"scripts": {"test": "jest"}}', "e2e/package-lock.json": ""}, {
        "": f"cd e2e && npm ci && {NPM} test -- {ALL}",
    }),
    ("go", {"go.mod": "", "tests/e2e/x_test.go": "//go:build e2e\n\npackage x\n"}, {
        "": f"go test -v -tags=e2e $(or $(TESTS),./tests/e2e/...) {ARGS}",
    }),
    ("a script", scripts(test__e2e="playwright test") | {"e2e/login.spec.ts": ""}, {
        "": f"{NPM} test:e2e -- {ALL}",
    }),
    ("files that are no tests", {"tests/integration/README.md": ""}, {"": ""}),
)  # fmt: skip


@INTEGRATION
def test_the_command_for_tests_of_the_whole_project(
    tmp_path: Path, files: dict[str, str], wanted: dict[str, str]
) -> None:
    assert integration_command(write(tmp_path, files)) == wanted[""]


def recipe(
    tmp_path: Path, files: Mapping[str, str], target: str
) -> subprocess.CompletedProcess[str]:
    """Run a guessed recipe with make, as the service's Makefile does."""
    line = guess(tmp_path, {f"app/{name}": text for name, text in files.items()})[target]
    (tmp_path / "Makefile").write_text(f"TESTS ?=\nARGS ?=\nx:\n\tcd app && {line}\n")
    return subprocess.run(
        ["make", "--silent", "-C", tmp_path, "x"], capture_output=True, text=True, timeout=120
    )


@pytest.mark.programs
@pytest.mark.skipif(not shutil.which("go"), reason="go is not installed")
def test_make_and_go_accept_the_packages(tmp_path: Path) -> None:
    test = 'package x\n\nimport "testing"\n\nfunc Test{}(t *testing.T) {{}}\n'
    files = {
        "go.mod": "module x\n\ngo 1.19\n", "x_test.go": test.format("Unit"),
        "integration/x_test.go": test.format("Live"),
    }  # fmt: skip
    done = recipe(tmp_path, files, "test_unit")
    assert "--- PASS: TestUnit" in done.stdout, done
    assert "TestLive" not in done.stdout
    done = recipe(tmp_path, files, "test_service")
    assert "--- PASS: TestLive" in done.stdout, done
    assert "TestUnit" not in done.stdout


@pytest.mark.parametrize("code", [0, 3])
def test_the_reports_of_gradle_are_copied_and_its_exit_code_is_kept(
    tmp_path: Path, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A small program in the place of gradlew, which is not executable.
    files = {
        "build.gradle": "",
        "gradlew": f"mkdir -p build/test-results/test\necho '<x/>' > build/test-results/test/a.xml\nexit {code}\n",
    }
    monkeypatch.setenv("TEST_JUNIT", str(tmp_path / "reports"))
    done = recipe(tmp_path, files, "test_unit")
    assert done.returncode == (2 if code else 0)
    assert f"Error {code}" in done.stderr or not code
    assert (tmp_path / "reports/a.xml").read_text() == "<x/>\n"
