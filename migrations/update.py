"""One update of one project: renders, merges, and writes the result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import notes
import service_answers
from answers_file import (
    ANSWERS_FILE,
    REMEMBERED,
    Answers,
    answers_in,
    committed_answers,
    make_command,
    parsed_answer,
)
from copier.errors import CopierError
from errors import RefusedError
from lock_files import add_lock_files
from merge import MARK, Merge
from moves import PathMap, moved
from path_patterns import PATTERN_FILES, with_moved_patterns
from python_imports import with_renamed_package
from rendering import Template
from repository import Repository
from signals import ignore_signals
from steps import Change, steps_between
from template_rules import SIGNS, Service, commands_of
from trees import EXECUTABLE, FILE, SUBMODULE, File, Result, Tree, edited
from writer import Writer

Services = Mapping[str, Service]


@dataclass
class Request:
    """The changes that an update makes besides the template's version."""

    #: Answers that change.
    answers: Answers = field(default_factory=dict)
    #: The new names of services that are renamed, by the old ones.
    names: dict[str, str] = field(default_factory=dict)
    #: Whether the folder of a removed service is removed even if the user changed it.
    delete: bool = False


class Update:
    """One update of one project.

    Args:
        project: the project's folder.
        template: a clone of the template.
        ref: the version of the template to update to.
        request: what changes besides.
        work: an empty folder for temporary files.
    """

    def __init__(
        self, project: Path, template: Path, ref: str, request: Request, work: Path
    ) -> None:
        self.project, self.ref, self.request, self.work = project, ref, request, work
        self.repository = Repository(project)
        self.notes: list[str] = []
        self.before = self.repository.tree()
        #: Our side of the merge: the project's files at their new paths.
        self.ours = self.before
        self.old = committed_answers(self.repository)
        self.new: Answers = {}
        self.template = Template(template, self.old["_src_path"], work)

    def run(self) -> Result:
        """Compute the whole result, then write it to the project.

        Raises:
            RefusedError, GitError, CopierError, ValueError: the update cannot be done; the project
                is as it was.
            UndoError: the update failed while it wrote, and something could not be restored.
        """
        self.repository.check_nothing_in_progress()
        result = self._merged()
        failed = add_lock_files(self.repository, self.before, self.ours, result, self.work / "lock")
        self.notes += notes.lock_files(failed, make_command(self.new))
        self._write(result)
        return result

    def _write(self, result: Result) -> None:
        self.writer = Writer(self.repository, self.before, result)
        self.writer.prepare()
        undo = self.writer.undo_command
        try:
            print(f"If the update is killed, run: {undo}", flush=True)
            self.writer.write()
            ignore_signals()
        except BaseException as error:
            self.writer.undo(error)
            raise

    def _merged(self) -> Result:
        change = Change(dict(self.old))
        for step in steps_between(self.old["_commit"], self.template.version(self.ref)):
            step(change)
        self._check_keys()
        base = self._rendered("base", self.old["_commit"], self.old)
        theirs = self._rendered(
            "theirs", self.ref, self.request.answers | self._adopted(), last=change.answers
        )
        self.new = answers_in(self.work / "theirs")
        chosen = {*self.request.answers, *REMEMBERED}
        self.notes += notes.lost_answers(change.answers, self.new, chosen)
        if not self._grows:
            self.notes += notes.new_questions(change.answers, self.new, chosen)
        old_services = service_answers.resolved(self.old)
        new_services = service_answers.resolved(self.new)
        self._check_new_folders(old_services, new_services)

        names = {name: self.request.names.get(name, name) for name in old_services}
        if self._grows:
            names = {"app": self._successor(new_services)}
        kept = {old: new for old, new in names.items() if new in new_services}
        pairs = [(old_services[old], new_services[new]) for old, new in kept.items()]
        new_paths = PathMap(change, pairs, base, theirs)
        moved_paths = {
            new_path
            for path in {*base, *self.before}
            for new_path in new_paths(path)
            if new_path != path
        }
        base, self.ours = moved(base, new_paths), moved(self.before, new_paths)
        self._rename_patterns(new_paths, base)
        for old, new in pairs:
            self._rename_package(old, new)
        for name in names:
            if name not in kept:
                base = self._without(old_services[name].path, base)
        result = Merge(
            self.repository,
            _without_answers(base),
            self.ours,
            _without_answers(theirs),
            moved=moved_paths,
            theirs_moved=self._rendered_for_moves(pairs, theirs),
        ).run()
        result.tree[ANSWERS_FILE] = theirs[ANSWERS_FILE]
        self.notes += notes.dead_links(self.repository, self.before, result)
        for old, new in pairs:
            if old.name != new.name:
                self.notes += notes.renamed_service(self.repository, old, new, result)
        for old, new in pairs:
            self.notes += notes.lost_needs(old, new, kept)
        if self.old["_commit"] != self.new["_commit"] and self.new.get("layout") == "multi":
            self.notes += notes.reserved_names(
                (name for name in kept.values() if name in old_services), make_command(self.new)
            )
        return result

    @property
    def _grows(self) -> bool:
        """Whether a single project becomes a multi project."""
        return bool(self.old.get("layout") == "single" and self.new.get("layout") == "multi")

    def _check_keys(self) -> None:
        """Refuse answers to unknown questions, because Copier ignores them silently."""
        known = self.template.questions(self.ref)
        for key in self.request.answers:
            if key not in known:
                raise RefusedError(
                    f"{key!r} is not a question of the template; choose from {', '.join(known)}"
                )

    def _check_new_folders(self, old_services: Services, new_services: Services) -> None:
        """Refuse to generate a new service into a folder that holds other files of the user's."""
        old_folders = {service.path for service in old_services.values()}
        for service in new_services.values():
            if service.path in old_folders:
                continue
            folders = [service.path, *map(str, PurePosixPath(service.path).parents)]
            for folder in folders:
                if folder in self.before and self.before[folder].mode == SUBMODULE:
                    raise RefusedError(
                        f"{folder} is a submodule, so the files of a service in it would belong to "
                        "another repository; choose a folder of this repository"
                    )
            if service.path in self.before:
                raise RefusedError(f"{service.path} exists and is not a folder; move it away first")
            existing = [
                file.blob
                for path, file in self.before.items()
                if path.startswith(f"{service.path}/") and file.mode in (FILE, EXECUTABLE)
            ]
            if not existing or service.is_own:
                continue
            # A generated service that was removed but kept its files may come back.
            if not any(MARK in text for text in self.repository.read(existing).values()):
                raise RefusedError(
                    f"{service.path}/ already exists, and the template did not generate it as a "
                    f"{service.kind}; give the service the kind custom, which keeps the existing "
                    "files, or choose another name"
                )

    def _rendered(
        self, name: str, ref: str, data: Mapping[str, Any], last: Mapping[str, Any] | None = None
    ) -> Tree:
        """Render a version of the template, and return it as a tree."""
        return self.repository.stored(self.template.render(name, ref, data, last))

    def _rendered_for_moves(self, pairs: list[tuple[Service, Service]], theirs: Tree) -> Tree:
        """Return the tree from which the user's files take what a move changes in them.

        It is the project's old version with the new answers, so that nothing else in it is new. If
        the old version refuses the new answers, it has to be the new version.
        """
        has_moved = any(old.path != new.path for old, new in pairs)
        if not has_moved or self.old["_commit"] == self.new["_commit"]:
            return theirs
        try:
            return self._rendered("between", self.old["_commit"], self.new)
        except (CopierError, ValueError):
            return theirs

    def _adopted(self) -> Answers:
        """Return the answer that remembers the custom services whose files existed before."""
        found = self.old.get("adopted") or {}
        # Projects that were adopted before commands were guessed have a list of names.
        before = found if isinstance(found, Mapping) else {name: {} for name in found}
        adopted = {self.request.names.get(name, name): known for name, known in before.items()}
        if "services" in self.request.answers:
            given = self.request.answers["services"]
            # On the command line it is text, which Copier parses as YAML.
            services = parsed_answer("services", given) if isinstance(given, str) else given
            known = service_answers.resolved(self.old)
            wanted = service_answers.resolved(
                {**self.old, **self.request.answers, "services": services, "layout": "multi"}
            )
            for name, service in wanted.items():
                signs = {f"services/{name}/{sign}" for sign in SIGNS}
                stays = service.home != service.path
                if name not in known and service.is_own and (stays or signs & self.before.keys()):
                    item = {
                        "name": name,
                        "path": service.home,
                        "context": service.context,
                        "dockerfile": service.dockerfile,
                        "language": service.language,
                    }
                    adopted[name] = commands_of(self.project, item)
        return {"adopted": adopted}

    def _successor(self, new_services: Services) -> str:
        """Return the service that a single project's service becomes.

        Raises:
            RefusedError: no new service is of its kind.
        """
        kind = self.old["service_kind"]
        of_kind = [name for name, service in new_services.items() if service.kind == kind]
        for name in (*self.request.names.values(), "app", *of_kind):
            if name in of_kind:
                return name
        raise RefusedError(
            f"the service of this project is a {kind}, but none of {', '.join(new_services)} is; "
            f"add one of this kind, such as 'app:{kind}'"
        )

    def _rename_package(self, old: Service, new: Service) -> None:
        """Rename a service's package in its Python files."""
        if old.package == new.package or old.language != "python":
            return
        ours = self.ours
        paths = [path for path in ours if path.startswith(f"{new.path}/") and path.endswith(".py")]
        texts = self.repository.read(ours[path].blob for path in paths)
        for path in paths:
            text = texts[ours[path].blob]
            changed = with_renamed_package(text, old.package, new.package)
            if changed != text:
                ours[path] = File(ours[path].mode, self.repository.store(changed))

    def _rename_patterns(self, new_paths: PathMap, base: Tree) -> None:
        """Repeat the patterns of ignored files and attributes for the new paths of what moves.

        Files that git ignores do not move, so the old patterns stay.
        """
        for path, file in list(self.ours.items()):
            if PurePosixPath(path).name in PATTERN_FILES and file.mode in (FILE, EXECUTABLE):
                [text] = self.repository.read([file.blob]).values()
                generated = [base[path].blob] if path in base else []
                known = b"".join(self.repository.read(generated).values())
                changed = with_moved_patterns(path, text, new_paths, known)
                if changed != text:
                    self.ours[path] = File(file.mode, self.repository.store(changed))

    def _without(self, folder: str, base: Tree) -> Tree:
        """Remove a service's folder, or keep all of it if the user changed something in it."""

        def outside(tree: Tree) -> Tree:
            return {path: file for path, file in tree.items() if not path.startswith(f"{folder}/")}

        changed = edited(base, self.ours, folder)
        if not changed or self.request.delete:
            self.ours = outside(self.ours)
        else:
            self.notes.append(notes.kept_folder(folder, changed))
        return outside(base)


def _without_answers(tree: Tree) -> Tree:
    """Remove the answers from a tree: they are never merged, and an update writes them itself."""
    return {path: file for path, file in tree.items() if path != ANSWERS_FILE}
