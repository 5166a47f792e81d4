#include "server/jobs/predict_work.h"

#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/errors.h"
#include "server/names.h"
#include "tests/server/domain_test.h"
#include "tests/server/work_test.h"

namespace emserve::server {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;
constexpr PredictionOutputs kAll{.labels = true, .posteriors = true, .log_densities = true};

std::vector<double> CellsOf(const DatasetContent& content) {
  std::vector<double> cells(content.bytes().size() / sizeof(double));
  std::memcpy(cells.data(), content.bytes().data(), content.bytes().size());
  return cells;
}

class PredictWorkTest : public ::testing::Test {
 protected:
  PredictWorkTest() { EXPECT_THAT(server_.registry.Add("m", TwoClusterVersion()), IsOk()); }

  PredictEnvironment environment() { return {&server_.datasets, &server_.registry, &server_.pool}; }
  void UploadCells(const std::string& id, std::initializer_list<const char*> columns,
                   const std::vector<double>& cells) {
    const auto rows = static_cast<int64_t>(cells.size() / columns.size());
    ASSERT_THAT(Upload(server_.datasets, id, RealColumns(columns, rows), Packed(cells)), IsOk());
  }
  static PredictRequest Request(PredictionOutputs outputs = {}) {
    return {.model = "models/m",
            .dataset = "datasets/d",
            .outputs = outputs,
            .output_dataset_id = "out"};
  }
  absl::Status Refusal(const PredictRequest& request) {
    const int64_t used = server_.datasets.used_bytes();
    const absl::Status status = MakePredictWork(request, environment(), "job-1").status();
    EXPECT_EQ(server_.datasets.used_bytes(), used);
    return status;
  }
  // The dataset that a prediction makes.
  std::shared_ptr<const DatasetContent> Predicted(const PredictRequest& request) {
    auto work = MakePredictWork(request, environment(), "job-1");
    EXPECT_THAT(work, IsOk());
    WorkRun run(server_.pool, server_.clock.get());
    const auto result = run.Run(**work);
    EXPECT_THAT(result, IsOk());
    const std::string name = std::get<PredictJobResult>(*result).dataset;
    return server_.datasets.Content(ParseDatasetName("", name).value()).value();
  }

  SmallServer server_;
};

TEST_F(PredictWorkTest, MakesADatasetOfWhatWasAskedFor) {
  UploadCells("d", {"x", "y"}, {0, 0, 10, 10, 5, 5, 1, -1});
  auto work = MakePredictWork(Request(kAll), environment(), "job-1").value();
  WorkRun run(server_.pool, server_.clock.get());
  const auto result = run.Run(*work);
  ASSERT_THAT(result, IsOk());
  EXPECT_EQ(std::get<PredictJobResult>(*result).dataset, "datasets/out");
  EXPECT_EQ(std::get<PredictJobResult>(*result).model_version, "models/m/versions/1");
  EXPECT_EQ(run.job.Snapshot().progress.rows_done, 4);
  EXPECT_EQ(run.job.Snapshot().progress.num_rows, 4);

  const DatasetInfo made = server_.datasets.Get("out").value();
  EXPECT_EQ(made.state, DatasetState::kActive);
  EXPECT_EQ(made.description, "Prediction of datasets/d by models/m/versions/1");
  ASSERT_EQ(made.schema->columns.size(), 4u);
  EXPECT_EQ(made.schema->columns[0].name, "label");
  EXPECT_EQ(made.schema->columns[0].kind, ColumnKind::kCategorical);
  EXPECT_THAT(made.schema->columns[0].levels, ElementsAre("0", "1"));
  EXPECT_EQ(made.schema->columns[1].name, "posterior_0");
  EXPECT_EQ(made.schema->columns[2].name, "posterior_1");
  EXPECT_EQ(made.schema->columns[3].name, "log_density");

  const Table table = Table::FromValues({0, 0, 10, 10, 5, 5, 1, -1}, 4, 2).value();
  const Prediction expected = server_.registry.Resolve("", "models/m")
                                  .value()
                                  .version->predictor->Predict(table, kAll)
                                  .value();
  const std::vector<double> cells = CellsOf(*made.content);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(cells[4 * i], static_cast<double>(expected.labels[i]));
    EXPECT_EQ(cells[4 * i + 1], expected.posteriors[2 * i]);
    EXPECT_EQ(cells[4 * i + 2], expected.posteriors[2 * i + 1]);
    EXPECT_EQ(cells[4 * i + 3], expected.log_densities[i]);
  }
}

TEST_F(PredictWorkTest, GivesLabelsUnlessAskedOtherwiseAndIsCalledAsItsJob) {
  UploadCells("d", {"x", "y"}, {10, 10, 0, 0});
  PredictRequest request = Request();
  request.output_dataset_id = "";
  const auto content = Predicted(request);
  EXPECT_EQ(content->name, "datasets/job-1");
  EXPECT_THAT(CellsOf(*content), ElementsAre(1, 0));
}

TEST_F(PredictWorkTest, PredictsLargeTablesWithAllThreads) {
  constexpr int64_t kRows = 50000;
  const std::vector<double> cells = TwoClusters(kRows, 2, 3);
  UploadCells("d", {"x", "y"}, cells);
  const std::vector<double> labels = CellsOf(*Predicted(Request()));
  ASSERT_EQ(labels.size(), static_cast<size_t>(kRows));
  for (int64_t i = 0; i < kRows; ++i) ASSERT_EQ(labels[i], i % 2 == 0 ? 0 : 1) << i;
}

TEST_F(PredictWorkTest, FindsTheModelsColumnsByName) {
  DatasetSchema schema = RealColumns({"y", "kind", "x"}, 2);
  schema.type = ElementType::kFloat32;
  schema.columns[1].kind = ColumnKind::kCategorical;
  schema.columns[1].levels = {"a"};
  ModelVersion lopsided = TwoClusterVersion();
  lopsided.theta = {0.5, 0.5, 0, 10, 10, 0, 1, 1};  // (x, y) around (0, 10) and (10, 0)
  lopsided.predictor =
      Predictor::Create(lopsided.options, lopsided.summary, lopsided.column_names(), lopsided.theta)
          .value();
  ASSERT_THAT(server_.registry.Add("m", lopsided), IsOk());
  const float missing = std::numeric_limits<float>::quiet_NaN();  // in a column that is not used
  ASSERT_THAT(
      Upload(server_.datasets, "d", schema, Packed(std::vector<float>{10, 0, 0, 0, missing, 10})),
      IsOk());
  EXPECT_THAT(CellsOf(*Predicted(Request())), ElementsAre(0, 1));
}

TEST_F(PredictWorkTest, RefusesWhatCannotBePredicted) {
  UploadCells("d", {"x", "y"}, {0, 0, 1, 1});
  const auto refused = [&](absl::StatusCode code, const char* text, auto spoil) {
    PredictRequest request = Request();
    spoil(request);
    EXPECT_THAT(Refusal(request), FailsWith(code, text));
  };
  refused(kInvalid, "model: got", [](PredictRequest& r) { r.model = "m"; });
  refused(absl::StatusCode::kNotFound, "models/n", [](PredictRequest& r) { r.model = "models/n"; });
  refused(absl::StatusCode::kNotFound, "models/m@a",
          [](PredictRequest& r) { r.model = "models/m@a"; });
  refused(kInvalid, "dataset: got", [](PredictRequest& r) { r.dataset = "d"; });
  refused(absl::StatusCode::kNotFound, "datasets/e",
          [](PredictRequest& r) { r.dataset = "datasets/e"; });
  refused(kInvalid, "output_dataset_id: got",
          [](PredictRequest& r) { r.output_dataset_id = "NO"; });
  refused(absl::StatusCode::kAlreadyExists, "datasets/d",
          [](PredictRequest& r) { r.output_dataset_id = "d"; });
}

TEST_F(PredictWorkTest, RefusesTablesByTheirColumns) {
  const auto refused = [&](DatasetSchema schema, const std::vector<double>& cells,
                           const char* text) {
    ASSERT_THAT(Upload(server_.datasets, "d", std::move(schema), Packed(cells)), IsOk());
    EXPECT_THAT(Refusal(Request()), FailsWith(kInvalid, text));
    ASSERT_THAT(server_.datasets.Delete("d"), IsOk());
  };
  refused(RealColumns({"x", "z"}, 1), {0, 0}, "dataset: got no column \"y\"");
  refused(RealColumns({"x", "y"}, 2), {0, 0, 1, kInfinity},
          "dataset: columns[y]: got inf in row 1");
  DatasetSchema categories = RealColumns({"x", "y"}, 1);
  categories.columns[1].kind = ColumnKind::kCategorical;
  categories.columns[1].levels = {"a", "b"};
  refused(categories, {0, 1}, "dataset: columns[y]: got a categorical column");
}

TEST_F(PredictWorkTest, FillsMissingCellsInColumnsNamedAfterTheModels) {
  UploadCells("d", {"y", "x"}, {kNan, 0, 10, kNan, 1, 2});
  const auto made = Predicted(Request({.imputed = true, .imputed_variances = true}));
  std::vector<std::string> names;
  for (const ColumnSchema& column : made->schema->columns) names.push_back(column.name);
  EXPECT_THAT(names,
              ElementsAre("imputed_x", "imputed_y", "imputed_variance_x", "imputed_variance_y"));
  const std::vector<double> cells = CellsOf(*made);
  ASSERT_EQ(cells.size(), 12u);
  EXPECT_EQ(cells[0], 0);
  EXPECT_NEAR(cells[1], 0, 1e-9);
  EXPECT_EQ(cells[2], 0);
  EXPECT_NEAR(cells[3], 1, 1e-9);
  EXPECT_NEAR(cells[4], 10, 1e-9);
  EXPECT_THAT(std::vector<double>(cells.begin() + 8, cells.end()), ElementsAre(2, 1, 0, 0));
}

TEST_F(PredictWorkTest, CategoriesMustBeThoseOfTheModel) {
  ModelVersion version = TwoClusterVersion();
  version.columns[1].kind = ColumnKind::kCategorical;
  version.columns[1].levels = {"a", "b"};
  ASSERT_THAT(server_.registry.Add("m", std::move(version)), IsOk());
  DatasetSchema schema = RealColumns({"x", "y"}, 1);
  schema.columns[1].kind = ColumnKind::kCategorical;
  schema.columns[1].levels = {"b", "a"};
  ASSERT_THAT(Upload(server_.datasets, "d", schema, Packed(std::vector<double>{0, 1})), IsOk());
  EXPECT_THAT(Refusal(Request()), FailsWith(kInvalid, "dataset: columns[y]: got other levels"));
  ASSERT_THAT(server_.datasets.Delete("d"), IsOk());
  schema.columns[1].levels = {"a", "b"};
  ASSERT_THAT(Upload(server_.datasets, "d", schema, Packed(std::vector<double>{0, 1})), IsOk());
  EXPECT_THAT(MakePredictWork(Request(), environment(), "job-1"), IsOk());
}

TEST_F(PredictWorkTest, RefusesADatasetThatIsStillUploading) {
  NewDataset request;
  request.id = "d";
  request.schema = RealColumns({"x", "y"}, 10);
  ASSERT_THAT(server_.datasets.Create(request), IsOk());
  EXPECT_EQ(ReasonOf(Refusal(Request())), "DATASET_NOT_ACTIVE");
}

TEST_F(PredictWorkTest, ARowThatNoComponentReachesFailsTheJobAndLeavesNothing) {
  UploadCells("d", {"x", "y"}, {0, 0, 1e200, 0});
  const int64_t used = server_.datasets.used_bytes();
  auto work = MakePredictWork(Request(), environment(), "job-1").value();
  WorkRun run(server_.pool, server_.clock.get());
  EXPECT_THAT(run.Run(*work), FailsWith(kInvalid, "rows[1]: got"));
  work.reset();
  PredictRequest placed = Request();
  placed.at_path = [](const absl::Status& status) {
    return absl::Status(status.code(), "job.predict." + std::string(status.message()));
  };
  work = MakePredictWork(placed, environment(), "job-1").value();
  EXPECT_THAT(run.Run(*work), FailsWith(kInvalid, "job.predict.rows[1]: got"));
  work.reset();
  EXPECT_EQ(server_.datasets.used_bytes(), used);
  EXPECT_THAT(server_.datasets.Get("out"), FailsWith(absl::StatusCode::kNotFound, "datasets/out"));
}

TEST_F(PredictWorkTest, ReservesItsResultAndFreesItWhenItIsNotRun) {
  UploadCells("d", {"x", "y"}, std::vector<double>(200000, 1.0));
  const int64_t used = server_.datasets.used_bytes();
  auto work = MakePredictWork(Request(kAll), environment(), "job-1").value();
  EXPECT_GE(server_.datasets.used_bytes() - used, 100000 * 4 * 8);
  EXPECT_THAT(server_.datasets.Get("out"), FailsWith(absl::StatusCode::kNotFound, "datasets/out"));
  EXPECT_THAT(server_.datasets.List({}).value().items.size(), 1u);
  // The name is taken already.
  EXPECT_THAT(Refusal(Request()), FailsWith(absl::StatusCode::kAlreadyExists, "datasets/out"));
  work.reset();
  EXPECT_EQ(server_.datasets.used_bytes(), used);
  EXPECT_THAT(MakePredictWork(Request(), environment(), "job-1"), IsOk());
}

TEST_F(PredictWorkTest, RefusesAResultThatDoesNotFit) {
  SmallServer server(1, 1 << 20);
  ASSERT_THAT(server.registry.Add("m", TwoClusterVersion()), IsOk());
  ASSERT_THAT(Upload(server.datasets, "d", RealColumns({"x", "y"}, 30000),
                     Packed(std::vector<double>(60000, 1.0))),
              IsOk());
  const absl::Status status =
      MakePredictWork(Request(kAll), {&server.datasets, &server.registry, &server.pool}, "job-1")
          .status();
  EXPECT_EQ(ReasonOf(status), "DATASET_MEMORY_FULL");
}

TEST_F(PredictWorkTest, CancelledItLeavesNothing) {
  UploadCells("d", {"x", "y"}, TwoClusters(1000, 2, 1));
  const int64_t used = server_.datasets.used_bytes();
  auto work = MakePredictWork(Request(), environment(), "job-1").value();
  WorkRun run(server_.pool, server_.clock.get());
  run.stop.request_stop();
  EXPECT_THAT(run.Run(*work), FailsWith(absl::StatusCode::kCancelled, ""));
  work.reset();
  EXPECT_EQ(server_.datasets.used_bytes(), used);
  EXPECT_THAT(server_.datasets.Get("out"), FailsWith(absl::StatusCode::kNotFound, "datasets/out"));
}

TEST_F(PredictWorkTest, ModelAndDatasetMayBeDeletedOnceItIsQueued) {
  UploadCells("d", {"x", "y"}, {10, 10, 0, 0});
  auto work = MakePredictWork(Request(), environment(), "job-1").value();
  ASSERT_THAT(server_.datasets.Delete("d"), IsOk());
  ASSERT_THAT(server_.registry.DeleteModel("m", true), IsOk());
  WorkRun run(server_.pool, server_.clock.get());
  ASSERT_THAT(run.Run(*work), IsOk());
  EXPECT_THAT(CellsOf(*server_.datasets.Content("out").value()), ElementsAre(1, 0));
}

TEST_F(PredictWorkTest, AReferenceIsResolvedWhenTheJobIsMade) {
  UploadCells("d", {"x", "y"}, {10, 10});
  auto work = MakePredictWork(Request(), environment(), "job-1").value();
  ASSERT_THAT(server_.registry.Add("m", TwoClusterVersion()), IsOk());
  WorkRun run(server_.pool, server_.clock.get());
  EXPECT_EQ(std::get<PredictJobResult>(run.Run(*work).value()).model_version,
            "models/m/versions/1");
}

TEST(SelectColumnsTest, PutsColumnsInTheModelsOrder) {
  const ModelVersion version = TwoClusterVersion();
  const std::vector<double> values = {1, 2, 3, 4, 5, 6};
  Cells cells;
  cells.bytes = reinterpret_cast<const std::byte*>(values.data());
  cells.num_rows = 2;
  cells.num_columns = 3;
  const Table table = SelectColumns("table", cells, {"y", "other", "x"}, version).value();
  EXPECT_THAT(table.names(), ElementsAre("x", "y"));
  EXPECT_EQ(table.value(0, 0), 3);
  EXPECT_EQ(table.value(0, 1), 1);
  EXPECT_EQ(table.value(1, 0), 6);
  EXPECT_THAT(SelectColumns("table.columns", cells, {"y", "other", "z"}, version),
              FailsWith(kInvalid, "table.columns: got no column \"x\""));
}

}  // namespace
}  // namespace emserve::server
