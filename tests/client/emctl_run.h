// A server, and emctl run against it.
#ifndef EMSERVE_TESTS_CLIENT_EMCTL_RUN_H_
#define EMSERVE_TESTS_CLIENT_EMCTL_RUN_H_

#include <string>
#include <utility>
#include <vector>

#include "client/csv.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/client/process.h"

namespace emserve {

using Json = nlohmann::json;

inline client::Table ParseTable(const std::string& csv) {
  const auto parsed = client::ParseCsv(csv, "output", {});
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return parsed.ok() ? parsed->table : client::Table();
}

// Each test has a server of its own.
class EmctlRun : public testing::Test {
 protected:
  void SetUp() override { ASSERT_NE(server_.port(), 0) << "emserved did not come up"; }

  // One command line after the other.
  static std::vector<std::string> With(std::vector<std::string> all,
                                       const std::vector<std::string>& more) {
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }

  Outcome Run(std::vector<std::string> arguments) const {
    return RunEmctl(server_.port(), std::move(arguments));
  }

  // Must succeed; its standard output, which must be one JSON document.
  Json RunJson(std::vector<std::string> arguments) const {
    arguments.push_back("--json");
    const Outcome outcome = Run(std::move(arguments));
    EXPECT_EQ(outcome.exit_status, 0) << outcome.error;
    const Json document = Json::parse(outcome.output, nullptr, false);
    EXPECT_FALSE(document.is_discarded()) << outcome.output;
    return document;
  }

  // Must fail with this status; the error in its one JSON document.
  Json FailedJson(std::vector<std::string> arguments, int exit_status) const {
    arguments.push_back("--json");
    const Outcome outcome = Run(std::move(arguments));
    EXPECT_EQ(outcome.exit_status, exit_status) << outcome.error;
    const Json document = Json::parse(outcome.output, nullptr, false);
    EXPECT_TRUE(document.is_object() && document.contains("error")) << outcome.output;
    return document.is_object() ? document.value("error", Json::object()) : Json::object();
  }

  const ServerProcess server_;
  const TempDir dir_;
};

}  // namespace emserve

#endif  // EMSERVE_TESTS_CLIENT_EMCTL_RUN_H_
