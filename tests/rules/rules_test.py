#!/usr/bin/env python3
"""Shows that every rule bites: each test plants one offence in a clean tree and expects its line."""

import pathlib
import subprocess
import tempfile
import unittest

import include_rules
import layout_rules

# A small tree in which every rule has something to look at and nothing to find.
CLEAN = {
    "core/numerics/cholesky.h": "#include <vector>\n#include \"Eigen/Core\"\n#include <hwy/highway.h>\n",
    "core/runtime/communicator.h": "#include \"core/numerics/cholesky.h\"\n",
    "core/runtime/communicator_mpi.cc": "#include <mpi.h>\n",
    "core/em/model.h": "#include \"core/runtime/communicator.h\"\n",
    "core/distribution/emission.h": "#include \"core/em/model.h\"\n",
    "core/emission/gaussian.h": "#include \"core/distribution/emission.h\"\n",
    "core/emission/gaussian.cc": "#include \"core/emission/covariance.h\"\n",
    "core/emission/covariance.h": "#include \"core/emission/gaussian.h\"\n",
    "core/emission/poisson.h": "#include \"core/distribution/emission.h\"\n",
    "core/latent/mixture.h": "#include \"core/distribution/emission.h\"\n",
    "core/latent/hmm.h": "#include \"core/distribution/emission.h\"\n",
    "core/select/criteria.h": "#include \"core/em/model.h\"\n",
    "core/families.h": "#include \"core/emission/gaussian.h\"\n#include \"core/latent/mixture.h\"\n",
    "core/families.cc": "#include \"core/emission/poisson.h\"\n#include \"core/latent/hmm.h\"\n",
    "proto/wire/status.h": "#include \"grpcpp/support/status.h\"\n",
    "server/main.cc": "#include \"spdlog/spdlog.h\"\n",
    "server/codec/spec.cc": "#include \"core/families.h\"\n#include \"emserve/v1/job.pb.h\"\n"
                            "#include \"core/emission/gaussian.h\"\n",
    "server/jobs/queue.h": "#include \"core/em/model.h\"\n",
    "server/rpc/jobs.cc": "#include \"grpcpp/grpcpp.h\"\n#include \"emserve/v1/job.pb.h\"\n",
    "client/client.cc": "#include \"grpcpp/grpcpp.h\"\n#include \"proto/wire/status.h\"\n",
    "client/emctl/main.cc": "#include \"spdlog/spdlog.h\"\n",
    "tests/server/fit_test.cc": "#include \"core/em/model.h\"\n#include \"emserve/v1/job.pb.h\"\n",
}


def write(root: pathlib.Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


class IncludeRules(unittest.TestCase):

    def violations(self, **planted: str) -> list[str]:
        """Violations of the clean tree with `planted` lines appended (path with / and . as is)."""
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            write(root, {name: CLEAN.get(name, "") + planted.get(name, "")
                         for name in CLEAN | planted})
            return [str(v) for v in include_rules.check(root)]

    def expect_bite(self, file: str, line: str, message: str) -> None:
        found = self.violations(**{file: line + "\n"})
        self.assertEqual(len(found), 1, found)
        self.assertIn(file, found[0])
        self.assertIn(message, found[0])

    def test_the_clean_tree_is_clean(self):
        self.assertEqual(self.violations(), [])

    def test_core_includes_no_foreign_library(self):
        for target in ("google/protobuf/message.h", "emserve/v1/job.pb.h", "grpcpp/grpcpp.h",
                       "CLI/CLI.hpp", "nlohmann/json.hpp", "unistd.h", "sys/stat.h"):
            self.expect_bite("core/em/model.h", f'#include "{target}"', "core knows only")

    def test_core_includes_no_logging(self):
        self.expect_bite("core/em/model.h", "#include <spdlog/spdlog.h>", "core knows only")

    def test_core_includes_no_flags_and_no_mutex_of_absl(self):
        for target in ("absl/flags/flag.h", "absl/log/log.h", "absl/time/clock.h",
                       "absl/synchronization/mutex.h"):
            self.expect_bite("core/em/model.h", f'#include "{target}"', "core knows no flags")

    def test_core_knows_no_files_environment_or_wall_clock(self):
        self.expect_bite("core/em/model.h", "#include <fstream>", "no files")
        for line, what in (('auto e = std::getenv("A");', "environment"),
                           ("auto t = std::chrono::system_clock::now();", "wall clock"),
                           ("auto t = absl::Now();", "wall clock"),
                           ('auto f = fopen("a", "r");', "files")):
            self.expect_bite("core/em/model.h", line, what)

    def test_core_includes_no_other_room(self):
        found = self.violations(**{"core/em/model.h": '#include "server/jobs/queue.h"\n'})
        self.assertTrue(any("core does not include server" in v for v in found), found)

    def test_a_layer_of_core_includes_no_higher_layer(self):
        layers = ["core/numerics/cholesky.h", "core/runtime/communicator.h", "core/data/table.h",
                  "core/em/model.h", "core/distribution/emission.h", "core/latent/latent.h",
                  "core/select/criteria.h", "core/families.h"]
        for low, high in zip(layers, layers[1:]):
            self.expect_bite(low, f'#include "{high}"', "only itself and lower ones")

    def test_only_the_codec_sees_core_and_generated_code(self):
        self.expect_bite("server/jobs/queue.h", '#include "emserve/v1/job.pb.h"', "sees both")
        self.expect_bite("server/rpc/jobs.cc", '#include "core/em/model.h"', "sees both")

    def test_core_and_generated_code_split_between_header_and_source_are_seen(self):
        self.expect_bite("server/jobs/queue.cc", '#include "emserve/v1/job.pb.h"', "sees both")

    def test_grpc_stays_in_its_rooms(self):
        for file in ("server/jobs/queue.h", "server/main.cc", "server/codec/spec.cc"):
            self.expect_bite(file, "#include <grpcpp/grpcpp.h>", "gRPC is seen only")
        self.expect_bite("server/main.cc", '#include "emserve/v1/x.grpc.pb.h"', "gRPC is seen only")

    def test_spdlog_stays_in_the_server_and_the_command_line(self):
        for file in ("client/client.cc", "proto/wire/status.h"):
            self.expect_bite(file, "#include <spdlog/spdlog.h>", "spdlog is for")

    def test_mpi_stays_in_one_file(self):
        self.expect_bite("core/em/model.h", "#include <mpi.h>", "core knows only")
        self.expect_bite("server/main.cc", "#include <mpi.h>", "MPI sits behind")
        self.expect_bite("core/runtime/communicator_open.cc", "#include <mpi.h>", "so does")

    def test_emissions_and_latent_structures_do_not_include_each_other(self):
        self.expect_bite("core/emission/poisson.h", '#include "core/emission/gaussian.h"',
                         "what two families share")
        self.expect_bite("core/latent/hmm.h", '#include "core/latent/mixture.h"',
                         "what two families share")

    def test_families_do_not_meet_in_a_third_file(self):
        self.expect_bite("core/emission/poisson.h", '#include "core/emission/covariance.h"',
                         "what two families share")
        found = self.violations(**{
            "core/emission/shared.h": '#include "core/distribution/emission.h"\n',
            "core/emission/poisson.h": '#include "core/emission/shared.h"\n',
            "core/emission/gaussian.h": '#include "core/emission/shared.h"\n'})
        self.assertTrue(any("a part of" in v for v in found), found)

    def test_only_the_list_and_the_codec_know_a_family(self):
        for file in ("core/latent/mixture.h", "core/select/criteria.h", "server/jobs/queue.h"):
            self.expect_bite(file, '#include "core/emission/gaussian.h"', "know a family")

    def test_the_client_knows_neither_server_nor_core(self):
        for target in ("server/jobs/queue.h", "core/em/model.h"):
            self.expect_bite("client/client.cc", f'#include "{target}"', "client does not include")
        self.expect_bite("proto/wire/status.h", '#include "client/client.h"', "proto does not include")

    def test_comments_are_not_code(self):
        self.assertEqual(self.violations(**{
            "core/em/model.h": '// #include "grpcpp/grpcpp.h"\n/*\n#include <fstream>\n*/\n'}), [])


class LayoutRules(unittest.TestCase):

    def violations(self, changed: dict[str, str | None]) -> list[str]:
        """Violations of a well-formed repository with files set to a text, or removed by None."""
        files = {name: "x\n" for name in layout_rules.TOP_LEVEL if "." in name or name == "LICENSE"}
        files |= {f"{room}/README.md": "x\n" for room in layout_rules.TOP_LEVEL - set(files)}
        files |= {".gitignore": "/build/\n", "proto/emserve/v1/job.proto": "x\n"}
        files = {name: text for name, text in (files | changed).items() if text is not None}
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            write(root, files)
            plain = layout_rules.check(root)
            subprocess.run(["git", "init", "-q", folder], check=True)
            self.assertEqual(layout_rules.check(root), plain, "git and no git must agree")
            return plain

    def test_the_well_formed_repository_passes(self):
        self.assertEqual(self.violations({}), [])

    def test_build_outputs_do_not_count(self):
        self.assertEqual(self.violations({"build/release/junk": "x"}), [])

    def test_a_foreign_top_level_entry_is_found(self):
        for name in ("docs/README.md", "Makefile"):
            found = self.violations({name: "x\n"})
            self.assertEqual(len(found), 1, found)
            self.assertIn("not among the top-level entries", found[0])

    def test_a_missing_top_level_entry_is_found(self):
        self.assertEqual(self.violations({"LICENSE": None}),
                         ["LICENSE: missing from the top level"])

    def test_a_folder_without_readme_is_found(self):
        found = self.violations({"core/em/fit.h": "x\n"})
        self.assertEqual(found, ["core/em: has no README.md that says what lives there and why"])

    def test_a_readme_over_a_page_or_empty_is_found(self):
        for text in ("x\n" * (layout_rules.PAGE + 1), ""):
            found = self.violations({"core/README.md": text})
            self.assertEqual(len(found), 1, found)
            self.assertIn("core/README.md: has", found[0])


if __name__ == "__main__":
    unittest.main()
