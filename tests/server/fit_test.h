// What tests of fits and sweeps share: a small server, requests and what comes of them.
#ifndef EMSERVE_TESTS_SERVER_FIT_TEST_H_
#define EMSERVE_TESTS_SERVER_FIT_TEST_H_

#include <initializer_list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/jobs/fit_work.h"
#include "tests/core/test_data.h"
#include "tests/server/domain_test.h"
#include "tests/server/work_test.h"

namespace emserve::server {

// A small server with requests for fits and what comes of them.
class FitTest : public ::testing::Test {
 protected:
  FitEnvironment environment() { return {&server_.datasets, &server_.registry, &server_.pool}; }

  void UploadCells(const std::string& id, std::initializer_list<const char*> columns,
                   const std::vector<double>& cells) {
    const auto rows = static_cast<int64_t>(cells.size() / columns.size());
    ASSERT_THAT(Upload(server_.datasets, id, RealColumns(columns, rows), Packed(cells)), IsOk());
  }
  void UploadFaithful() {
    UploadCells("faithful", {"eruptions", "waiting"}, emserve::testing::Faithful().values);
  }

  static FitRequest Request(const std::string& dataset, int num_components = 2) {
    FitRequest request;
    request.model = Mixture(num_components);
    request.source.dataset = absl::StrCat("datasets/", dataset);
    request.model_id = "m";
    return request;
  }
  static FitRequest InlineRequest(const std::vector<double>& cells,
                                  std::vector<std::string> columns, int num_components = 2) {
    FitRequest request;
    request.model = Mixture(num_components);
    request.model_id = "m";
    auto bytes = std::make_shared<const std::string>(Packed(cells));
    InlineTableData data;
    data.cells.bytes = reinterpret_cast<const std::byte*>(bytes->data());
    data.cells.owner = std::move(bytes);
    data.cells.num_columns = static_cast<int>(columns.size());
    data.cells.num_rows = static_cast<int64_t>(cells.size() / columns.size());
    data.columns = std::move(columns);
    request.source.inline_data = std::move(data);
    return request;
  }

  absl::Status Refusal(FitRequest request) {
    const auto work = MakeFitWork(std::move(request), environment(), "job-1");
    EXPECT_THAT(server_.registry.List({}).value().items, ::testing::IsEmpty());
    return work.status();
  }
  // The version that a fit makes.
  ResolvedVersion Fitted(FitRequest request) {
    auto work = MakeFitWork(std::move(request), environment(), "job-1");
    EXPECT_THAT(work, IsOk());
    WorkRun run(server_.pool, server_.clock.get());
    const auto result = run.Run(**work);
    EXPECT_THAT(result, IsOk());
    return server_.registry.Resolve("", std::get<FitJobResult>(*result).model_version).value();
  }

  SmallServer server_;
};

}  // namespace emserve::server

#endif  // EMSERVE_TESTS_SERVER_FIT_TEST_H_
