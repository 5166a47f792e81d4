#!/usr/bin/env python3
"""The dependency rules of the architecture, checked on the #include lines of the sources.

Usage: include_rules.py [ROOT]. Prints one line per violation, `file:line: what; why`, and exits 1 if
there is any. Reads text only: no compiler, no build, well under a second.

A rule looks at one unit: a header together with the .cc of the same name, so that splitting an
include between the two hides nothing.
"""

import pathlib
import re
import sys
from typing import Iterable, Iterator, NamedTuple

CORE_LAYERS = ["numerics", "runtime", "data", "em", "distribution", "emission", "latent", "select"]

# What core may include besides itself and the standard library.
CORE_LIBRARIES = ("absl/", "Eigen/", "boost/math/", "hwy/")
CORE_FORBIDDEN_STANDARD = {"fstream", "filesystem", "iostream", "print", "syncstream"}
CORE_FORBIDDEN_ABSL = ("absl/flags/", "absl/log/", "absl/time/clock.h", "absl/synchronization/")
CORE_FORBIDDEN_WORDS = {
    r"\bgetenv\b": "the environment",
    r"\bsystem_clock\b": "the wall clock",
    r"\babsl::Now\b": "the wall clock",
    r"\bgettimeofday\b": "the wall clock",
    r"\bfopen\b": "files",
}

# Where gRPC may be seen.
GRPC_ROOMS = ("server/rpc/", "server/ops/", "proto/wire/", "client/")
# Concrete families (core/emission/*, core/latent/*) may be named only by the one list and the codec.
FAMILY_READERS = ("core/families.", "server/codec/")

# Which top-level rooms a room may include: an arrow of the house means "may include".
ROOMS = {
    "core": {"core"},
    "proto": {"proto"},
    "server": {"server", "proto", "core"},
    "client": {"client", "proto"},
    "tests": {"tests", "server", "client", "proto", "core"},
}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
SOURCE_SUFFIXES = {".h", ".cc", ".cpp", ".hpp", ".inc"}


class Include(NamedTuple):
    file: str  # relative to the root, with /
    line: int
    target: str


class Violation(NamedTuple):
    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


def strip_comments(text: str) -> str:
    """Blanks comments and keeps line numbers; string literals stay as they are."""
    token = re.compile(r'"(?:\\.|[^"\\\n])*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
    keep_lines = lambda m: m[0] if m[0][0] == '"' else re.sub(r"[^\n]", " ", m[0])
    return token.sub(keep_lines, text)


def sources(root: pathlib.Path) -> Iterator[tuple[str, str]]:
    """(path relative to root, text without comments) of every C++ source."""
    for room in ROOMS:
        for path in sorted((root / room).rglob("*")):
            if path.suffix in SOURCE_SUFFIXES and path.is_file():
                yield path.relative_to(root).as_posix(), strip_comments(path.read_text())


def includes_of(file: str, text: str) -> list[Include]:
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        if match := INCLUDE.match(line):
            found.append(Include(file, number, match[2]))
    return found


def is_generated(target: str) -> bool:
    return target.endswith(".pb.h")


def is_grpc(target: str) -> bool:
    return target.startswith(("grpc/", "grpcpp/", "grpc++/")) or target.endswith(".grpc.pb.h")


def is_standard(target: str) -> bool:
    return "/" not in target and not target.endswith(".h")


def layer_of(path: str) -> int:
    """Position of a file of core in the layering; files directly in core/ stand above all layers."""
    parts = path.split("/")
    return CORE_LAYERS.index(parts[1]) if parts[1] in CORE_LAYERS else len(CORE_LAYERS)


def family_layer_of(path: str) -> str | None:
    """"emission" or "latent" for a file of that layer other than its interface, else None.

    The interface core/latent/latent.h is for everyone, as is the layer core/distribution.
    """
    match = re.fullmatch(r"core/(emission|latent)/([^/.]+)\.[a-z]+", path)
    return match[1] if match and match[1] != match[2] else None


def check_core(include: Include) -> Iterator[str]:
    target = include.target
    if target.startswith("core/"):
        if layer_of(target) > layer_of(include.file):
            yield f"includes {target}: a layer of core includes only itself and lower ones"
        return
    if is_standard(target):
        if target in CORE_FORBIDDEN_STANDARD:
            yield f"includes <{target}>: core knows no files and no terminal"
        return
    if target.startswith(CORE_FORBIDDEN_ABSL):
        yield f"includes {target}: core knows no flags, log, wall clock or absl::Mutex"
    elif not target.startswith(CORE_LIBRARIES) and not is_mpi_file(include):
        yield f"includes {target}: core knows only Eigen, absl, Boost.Math, Highway and itself"


def is_mpi_file(include: Include) -> bool:
    return include.target == "mpi.h" and include.file.startswith("core/runtime/communicator")


def check_families(include: Include) -> Iterator[str]:
    layer = family_layer_of(include.target)
    if layer is None or include.file.startswith(("tests/",) + FAMILY_READERS):
        return
    if family_layer_of(include.file) != layer:
        yield f"includes {include.target}: only core/families and server/codec know a family"


def check_families_apart(units: dict[str, list[Include]]) -> Iterator[Violation]:
    """Emissions do not include each other, nor do latent structures, not even through a third file.

    A family is a header of core/emission or core/latent that core/families includes; the other files
    of these layers are parts of one family. A file may reach one family at most, and a part that two
    families reach belongs a layer down.
    """
    families = {i.target for i in units.get("core/families", []) if family_layer_of(i.target)}
    owner: dict[str, str] = {}
    for unit, includes in sorted(units.items()):
        layer = family_layer_of(unit + ".h")
        if layer is None or not includes:
            continue
        reached = reachable(unit, layer, units)
        mine = sorted(families & (reached | {unit + ".h"}))
        first = next((i for i in includes if i.target in reached), includes[0])
        if len(mine) > 1:
            yield Violation(first.file, first.line,
                            f"reaches {' and '.join(mine)}: what two families share goes down a layer")
        elif unit + ".h" in families:
            for part in sorted(reached - families):
                if owner.setdefault(part, unit) != unit:
                    yield Violation(first.file, first.line,
                                    f"reaches {part}, a part of {owner[part]}: what two families "
                                    "share goes down a layer")


def reachable(unit: str, layer: str, units: dict[str, list[Include]]) -> set[str]:
    """Headers of `layer` that `unit` includes, directly or through headers of the same layer."""
    found: set[str] = set()
    todo = [unit]
    while todo:
        for include in units.get(todo.pop(), []):
            if family_layer_of(include.target) == layer and include.target not in found:
                found.add(include.target)
                todo.append(include.target.rsplit(".", 1)[0])
    return found


def check_service(include: Include) -> Iterator[str]:
    file, target = include.file, include.target
    if file.startswith(("core/", "tests/")):
        return
    if is_grpc(target) and not file.startswith(GRPC_ROOMS):
        yield f"includes {target}: gRPC is seen only in server/rpc, server/ops, proto/wire, client"
    if target.startswith("spdlog/") and not file.startswith(("server/", "client/emctl")):
        yield f"includes {target}: spdlog is for the server and the command line"
    if target == "mpi.h":
        yield "includes mpi.h: MPI sits behind core/runtime/communicator.h"


def check_rooms(include: Include) -> Iterator[str]:
    room, target = include.file.split("/")[0], include.target.split("/")[0]
    if target in ROOMS and target not in ROOMS[room]:
        yield f"includes {include.target}: {room} does not include {target}"


def check_codec(units: dict[str, list[Include]]) -> Iterator[Violation]:
    """Only server/codec includes both core headers and generated headers."""
    for unit, includes in units.items():
        if unit.startswith(("core/", "server/codec/", "tests/")):
            continue
        core = next((i for i in includes if i.target.startswith("core/")), None)
        generated = next((i for i in includes if is_generated(i.target)), None)
        if core and generated:
            yield Violation(
                generated.file, generated.line,
                f"includes {generated.target} besides {core.target}: only server/codec sees both")


def check_one_mpi_file(includes: Iterable[Include]) -> Iterator[Violation]:
    users = [i for i in includes if is_mpi_file(i)]
    for extra in users[1:]:
        yield Violation(extra.file, extra.line, f"includes mpi.h: so does {users[0].file}")


def check(root: pathlib.Path) -> list[Violation]:
    violations: list[Violation] = []
    units: dict[str, list[Include]] = {}
    everything: list[Include] = []
    for file, text in sources(root):
        found = includes_of(file, text)
        everything += found
        units.setdefault(file.rsplit(".", 1)[0], []).extend(found)
        for include in found:
            rules = [check_families, check_service, check_rooms]
            if file.startswith("core/"):
                rules.append(check_core)
            for rule in rules:
                violations += [Violation(file, include.line, message) for message in rule(include)]
        if file.startswith("core/"):
            for number, line in enumerate(text.split("\n"), 1):
                for pattern, what in CORE_FORBIDDEN_WORDS.items():
                    if re.search(pattern, line):
                        violations.append(Violation(file, number, f"core does not know {what}"))
    violations += check_codec(units)
    violations += check_families_apart(units)
    violations += check_one_mpi_file(everything)
    return sorted(set(violations))


def main() -> int:
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    violations = check(root)
    for violation in violations:
        print(violation)
    print(f"include rules: {len(violations)} violations")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
