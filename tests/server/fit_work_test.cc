#include "server/jobs/fit_work.h"

#include <atomic>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/digest.h"
#include "server/errors.h"
#include "tests/core/test_data.h"
#include "tests/server/domain_test.h"
#include "tests/server/fit_test.h"

namespace emserve::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;
constexpr absl::StatusCode kPrecondition = absl::StatusCode::kFailedPrecondition;

class FitWorkTest : public FitTest {};

TEST_F(FitWorkTest, FindsThePublishedOptimumOfFaithful) {
  UploadFaithful();
  FitRequest request = Request("faithful");
  request.spec = "the spec";
  request.server_version = "1.2.3";
  auto work = MakeFitWork(std::move(request), environment(), "job-1").value();
  WorkRun run(server_.pool, server_.clock.get());
  const auto result = run.Run(*work);
  ASSERT_THAT(result, IsOk());
  const auto& fit = std::get<FitJobResult>(*result);
  EXPECT_EQ(fit.model_version, "models/m/versions/1");
  EXPECT_NEAR(fit.report->log_likelihood, -1130.264, 0.0005);
  EXPECT_NEAR(*fit.report->criteria.bic, 2322.192, 0.001);  // mclust's BIC -2322.192
  EXPECT_EQ(fit.report->criteria.degrees_of_freedom, 11);
  EXPECT_EQ(fit.report->objective, fit.report->log_likelihood + fit.report->log_prior);
  EXPECT_EQ(fit.report->best.termination, Termination::kConverged);
  EXPECT_THAT(fit.report->restarts, SizeIs(10));
  EXPECT_THAT(fit.report->repairs, IsEmpty());
  EXPECT_EQ(fit.report->optima.at(0).objective, fit.report->best.objective);

  const auto version = server_.registry.Resolve("", "models/m").value().version;
  EXPECT_EQ(version->report, fit.report);
  EXPECT_THAT(version->column_names(), ElementsAre("eruptions", "waiting"));
  EXPECT_EQ(version->summary.total_weight, 272);
  EXPECT_NEAR(version->summary.mean[0], 3.487783, 1e-6);
  EXPECT_EQ(version->spec, "the spec");
  EXPECT_EQ(version->server_version, "1.2.3");
  EXPECT_EQ(version->job, "job-1");
  EXPECT_FALSE(version->imported);
  EXPECT_EQ(version->dataset_sha256, Sha256Hex(Packed(testing::Faithful().values)));
  // The predictor is that of the parameters: its densities add up to the likelihood.
  const auto predicted =
      version->predictor->Predict(testing::Faithful().ToTable(), {.log_densities = true});
  double sum = 0;
  for (const double density : predicted.value().log_densities) sum += density;
  EXPECT_NEAR(sum, fit.report->log_likelihood, 1e-8);
}

TEST_F(FitWorkTest, TellsTheJobOfEveryIteration) {
  UploadFaithful();
  FitRequest request = Request("faithful");
  request.options.restarts = 1;
  auto work = MakeFitWork(std::move(request), environment(), "job-1").value();
  WorkRun run(server_.pool, server_.clock.get());
  const auto result = run.Run(*work);
  ASSERT_THAT(result, IsOk());
  const FitReport& report = *std::get<FitJobResult>(*result).report;
  const std::vector<IterationEvent> iterations = run.Iterations();
  ASSERT_EQ(static_cast<int64_t>(iterations.size()), report.total_iterations + 1);
  EXPECT_FALSE(iterations[0].change.has_value());
  for (size_t i = 0; i < iterations.size(); ++i) {
    EXPECT_EQ(iterations[i].iteration, static_cast<int64_t>(i));
    EXPECT_EQ(iterations[i].restart, 0);
    if (i == 0) continue;
    EXPECT_EQ(*iterations[i].change, iterations[i].objective - iterations[i - 1].objective);
  }
  EXPECT_EQ(iterations.back().objective, report.objective);
  const JobProgress progress = run.job.Snapshot().progress;
  EXPECT_EQ(progress.iteration, report.total_iterations);
  EXPECT_EQ(progress.objective, report.objective);
}

TEST_F(FitWorkTest, TheResultDependsOnNoThreads) {
  const testing::Data data = testing::Blobs(30000, 2, 3, 3, 5);
  std::vector<std::vector<double>> thetas;
  for (const int threads : {1, 4}) {
    SmallServer server(threads);
    ASSERT_THAT(Upload(server.datasets, "d", RealColumns({"x", "y"}, 30000), Packed(data.values)),
                IsOk());
    FitRequest request = Request("d", 3);
    request.options.restarts = 3;
    request.options.max_iterations = 20;
    auto work = MakeFitWork(std::move(request), {&server.datasets, &server.registry, &server.pool},
                            "job-1");
    ASSERT_THAT(work, IsOk());
    WorkRun run(server.pool, server.clock.get());
    ASSERT_THAT(run.Run(**work), IsOk());
    thetas.push_back(server.registry.Resolve("", "models/m").value().version->theta);
  }
  EXPECT_EQ(thetas[0], thetas[1]);
}

TEST_F(FitWorkTest, InlineDataGivesTheSameBitsAsADataset) {
  UploadFaithful();
  const auto of_dataset = Fitted(Request("faithful")).version;
  const auto of_inline =
      Fitted(InlineRequest(testing::Faithful().values, {"eruptions", "waiting"})).version;
  EXPECT_EQ(of_inline->theta, of_dataset->theta);
  EXPECT_EQ(of_inline->dataset_sha256, of_dataset->dataset_sha256);
  EXPECT_EQ(of_inline->number, 2);
}

TEST_F(FitWorkTest, TheModelIsCalledAsTheJobUnlessNamed) {
  UploadFaithful();
  FitRequest request = Request("faithful");
  request.model_id = "";
  EXPECT_EQ(Fitted(std::move(request)).version->name(), "models/job-1/versions/1");
}

TEST_F(FitWorkTest, ModelsTheColumnsThatAreNamedInTheirOrder) {
  std::vector<double> cells;
  const testing::Data faithful = testing::Faithful();
  for (int64_t i = 0; i < faithful.num_rows(); ++i) {
    cells.insert(cells.end(), {kNan, faithful.values[2 * i + 1], 1.0, faithful.values[2 * i]});
  }
  UploadCells("wide", {"broken", "waiting", "constant", "eruptions"}, cells);
  UploadFaithful();
  FitRequest request = Request("wide");
  request.source.columns = {"eruptions", "waiting"};
  const auto wide = Fitted(std::move(request)).version;
  EXPECT_THAT(wide->column_names(), ElementsAre("eruptions", "waiting"));
  EXPECT_EQ(wide->theta, Fitted(Request("faithful")).version->theta);
}

TEST_F(FitWorkTest, WeightsCountAsRepetitions) {
  const testing::Data faithful = testing::Faithful();
  std::vector<double> weighted;
  std::vector<double> repeated;
  for (int64_t i = 0; i < faithful.num_rows(); ++i) {
    const double x = faithful.values[2 * i];
    const double y = faithful.values[2 * i + 1];
    weighted.insert(weighted.end(), {x, static_cast<double>(i % 3), y});
    for (int64_t r = 0; r < i % 3; ++r) repeated.insert(repeated.end(), {x, y});
  }
  UploadCells("weighted", {"x", "w", "y"}, weighted);
  UploadCells("repeated", {"x", "y"}, repeated);
  FitRequest request = Request("weighted");
  request.source.weight_column = "w";
  const auto one = Fitted(std::move(request)).version;
  const auto other = Fitted(Request("repeated")).version;
  EXPECT_THAT(one->column_names(), ElementsAre("x", "y"));
  EXPECT_EQ(one->summary.total_weight, static_cast<double>(repeated.size() / 2));
  EXPECT_NEAR(one->report->log_likelihood, other->report->log_likelihood, 1e-4);
  EXPECT_NEAR(*one->report->criteria.bic, *other->report->criteria.bic, 1e-3);
}

TEST_F(FitWorkTest, RefusesMalformedRequestsByField) {
  UploadFaithful();
  const auto refused = [&](const char* text, auto spoil, absl::StatusCode code = kInvalid) {
    FitRequest request = Request("faithful");
    request.model_field = [](std::string_view field) {
      return absl::StrCat("mixture.", std::string(field));
    };
    spoil(request);
    const absl::Status status = Refusal(std::move(request));
    EXPECT_THAT(status, FailsWith(code, text));
    EXPECT_TRUE(std::string(status.message()).starts_with(text)) << status;
  };
  refused("model_id: got", [](FitRequest& r) { r.model_id = "Not An Id"; });
  refused("restarts: got 0", [](FitRequest& r) { r.options.restarts = 0; });
  refused("restarts: got -1", [](FitRequest& r) { r.options.restarts = -1; });
  refused("restarts: got 100001", [](FitRequest& r) { r.options.restarts = 100001; });
  refused("stopping.max_iterations: got -1", [](FitRequest& r) { r.options.max_iterations = -1; });
  refused("stopping.relative_tolerance: got nan",
          [](FitRequest& r) { r.options.relative_tolerance = kNan; });
  refused("stopping.relative_tolerance: got -1",
          [](FitRequest& r) { r.options.relative_tolerance = -1; });
  refused("stopping.absolute_tolerance: got inf",
          [](FitRequest& r) { r.options.absolute_tolerance = kInfinity; });
  refused("stopping.time_budget: got",
          [](FitRequest& r) { r.options.time_budget = absl::ZeroDuration(); });
  refused("dataset: got", [](FitRequest& r) { r.source.dataset = "faithful"; });
  refused("dataset: got neither", [](FitRequest& r) { r.source.dataset = ""; });
  refused("dataset: got a dataset and inline data",
          [](FitRequest& r) { r.source.inline_data.emplace(); });
  refused(
      "datasets/other", [](FitRequest& r) { r.source.dataset = "datasets/other"; },
      absl::StatusCode::kNotFound);
  refused("columns[1]: got \"nope\", must be a column of the data: \"eruptions\", \"waiting\"",
          [](FitRequest& r) {
            r.source.columns = {"waiting", "nope"};
          });
  refused("columns[1]: got \"waiting\" a second time", [](FitRequest& r) {
    r.source.columns = {"waiting", "waiting"};
  });
  refused("columns[0]: got \"waiting\", must not be weight_column", [](FitRequest& r) {
    r.source.columns = {"waiting"};
    r.source.weight_column = "waiting";
  });
  refused("weight_column: got \"w\"", [](FitRequest& r) { r.source.weight_column = "w"; });
  refused("model.mixture.num_components: got 0", [](FitRequest& r) { r.model = Mixture(0); });
  refused(
      "model.mixture.num_components: got 273", [](FitRequest& r) { r.model = Mixture(273); },
      kPrecondition);
  refused("model.mixture.emission.ridge: got 1", [](FitRequest& r) {
    r.model = MixtureOptions{2, GaussianOptions{.ridge = 1}};
  });
  refused("model.mixture.emission.ridge: got nan", [](FitRequest& r) {
    r.model = MixtureOptions{2, GaussianOptions{.ridge = kNan}};
  });
  refused("start: got", [](FitRequest& r) { r.start_model = "models/m"; });
  refused("start: got", [](FitRequest& r) {
    r.options.start = StartMethod::kGiven;
    r.options.restarts = 1;
  });
}

TEST_F(FitWorkTest, RefusesAColumnThatIsTheOnlyOneAndTheWeights) {
  UploadCells("d", {"w"}, {1, 2, 3});
  FitRequest request = Request("d", 1);
  request.source.weight_column = "w";
  EXPECT_THAT(Refusal(std::move(request)), FailsWith(kInvalid, "columns: got none besides"));
}

TEST_F(FitWorkTest, RefusesDatasetsByTheFiguresOfTheirColumns) {
  const auto refused = [&](const std::vector<double>& column, const char* text,
                           absl::StatusCode code = kInvalid) {
    std::vector<double> cells;
    for (size_t i = 0; i < column.size(); ++i) {
      cells.insert(cells.end(), {static_cast<double>(i), column[i]});
    }
    UploadCells("d", {"x", "y"}, cells);
    EXPECT_THAT(Refusal(Request("d")), FailsWith(code, text));
    EXPECT_THAT(Refusal(InlineRequest(cells, {"x", "y"})), FailsWith(code, ""));
    FitRequest of_good_column = Request("d");
    of_good_column.source.columns = {"x"};
    EXPECT_THAT(MakeFitWork(std::move(of_good_column), environment(), "job-1"), IsOk());
    ASSERT_THAT(server_.datasets.Delete("d"), IsOk());
  };
  refused({1, 2, 3, -kInfinity}, "columns[y]: got -inf in row 3");
  refused({1, 2, kInfinity, kNan}, "columns[y]: got inf in row 2");
  refused({1, kNan, kInfinity, 2}, "columns[y]: got inf in row 2");
  refused({kNan, kNan, kNan, kNan}, "columns[y]: got no observed cell", kPrecondition);
  refused({5, 5, 5, 5}, "columns[y]: got 5 in every row", kPrecondition);
  refused({1e200, -1e200, 1e200, 0}, "columns[y]: got values from -1e+200 to 1e+200");
  refused({1e145, -1e145, 1e145, 0}, "columns[y]: got a variance of", kPrecondition);
}

TEST_F(FitWorkTest, RefusesWeightsThatAreNone) {
  const auto refused = [&](const std::vector<double>& weights, const char* text) {
    std::vector<double> cells;
    for (size_t i = 0; i < weights.size(); ++i) {
      cells.insert(cells.end(), {std::sqrt(static_cast<double>(i)), weights[i]});
    }
    UploadCells("d", {"x", "w"}, cells);
    FitRequest request = Request("d", 1);
    request.source.weight_column = "w";
    EXPECT_THAT(Refusal(std::move(request)), FailsWith(kInvalid, text));
    request = InlineRequest(cells, {"x", "w"}, 1);
    request.source.weight_column = "w";
    EXPECT_THAT(Refusal(std::move(request)), FailsWith(kInvalid, "data.weights"));
    ASSERT_THAT(server_.datasets.Delete("d"), IsOk());
  };
  refused({1, 2, kNan}, "columns[w]: got nan in row 2");
  refused({1, kInfinity, 2}, "columns[w]: got inf in row 1");
  refused({1, 2, -0.5, -3}, "weight_column: got -0.5 in row 2");
  refused({0, 0, 0}, "weight_column: got 0 in every row");
}

// The columns of a sealed dataset do not tell which rows weigh anything: they are looked at.
TEST_F(FitWorkTest, RowsWithoutWeightCountForNothing) {
  UploadCells("d", {"x", "w"}, {1, 1, 2, 1, 3, 0, 4, 0});
  FitRequest request = Request("d", 3);
  request.source.weight_column = "w";
  EXPECT_THAT(Refusal(request),
              FailsWith(kPrecondition, "num_components: got 3, must be at most 2"));
  request.model = Mixture(5);
  EXPECT_THAT(Refusal(std::move(request)), FailsWith(kPrecondition, "num_components: got 5"));

  UploadCells("e", {"x", "w"}, {1, 1, 1, 1, 3, 0, 4, 0});  // constant where it counts
  request = Request("e", 1);
  request.source.weight_column = "w";
  EXPECT_THAT(Refusal(std::move(request)),
              FailsWith(kPrecondition, "columns[x]: got 1 in every row"));

  UploadCells("f", {"x", "w"}, {1, 1, 2, 1, 1e300, 0, 4, 1});  // huge where it does not count
  request = Request("f", 1);
  request.source.weight_column = "w";
  Fitted(std::move(request));
}

TEST_F(FitWorkTest, CategoriesAreNoNumbers) {
  DatasetSchema schema = RealColumns({"x", "species", "n"}, 4);
  schema.columns[1].kind = ColumnKind::kCategorical;
  schema.columns[1].levels = {"setosa", "virginica"};
  schema.columns[2].kind = ColumnKind::kCount;
  ASSERT_THAT(Upload(server_.datasets, "d", schema,
                     Packed(std::vector<double>{1, 0, 3, 2, 1, 4, 4, 1, 6, 7, 0, 0})),
              IsOk());
  EXPECT_THAT(Refusal(Request("d", 1)),
              FailsWith(kInvalid, "columns[species]: got a categorical column"));
  FitRequest request = Request("d", 1);
  request.source.columns = {"x"};
  request.source.weight_column = "species";
  EXPECT_THAT(Refusal(std::move(request)), FailsWith(kInvalid, "weight_column: got \"species\""));
  request = Request("d", 1);
  request.source.columns = {"x"};
  request.source.weight_column = "n";
  EXPECT_EQ(Fitted(std::move(request)).version->summary.total_weight, 13);
}

TEST_F(FitWorkTest, RefusesADatasetThatIsStillUploading) {
  NewDataset request;
  request.id = "d";
  request.schema = RealColumns({"x"}, 10);
  ASSERT_THAT(server_.datasets.Create(request), IsOk());
  const absl::Status status = Refusal(Request("d"));
  EXPECT_EQ(status.code(), kPrecondition);
  EXPECT_EQ(ReasonOf(status), "DATASET_NOT_ACTIVE");
}

TEST_F(FitWorkTest, StartsFromParameters) {
  UploadFaithful();
  const std::vector<double> start = {0.4, 0.6, 2, 55, 4.3, 80, 0.1, 0, 0, 30, 0.2, 0.5, 0.5, 35};
  FitRequest request = Request("faithful");
  request.options.start = StartMethod::kGiven;
  request.options.restarts = 1;
  request.options.max_iterations = 0;  // evaluates the start
  request.start_parameters = [&](const Layout& layout) -> absl::StatusOr<std::vector<double>> {
    EXPECT_EQ(layout.size(), 14);
    EXPECT_NE(layout.Find("covariances"), nullptr);
    return start;
  };
  const auto version = Fitted(request).version;
  EXPECT_EQ(version->theta, start);
  EXPECT_EQ(version->report->total_iterations, 0);
  EXPECT_EQ(version->report->best.termination, Termination::kIterationLimit);

  request.options.max_iterations = 1000;
  EXPECT_NEAR(Fitted(request).version->report->log_likelihood, -1130.264, 0.0005);

  request.options.restarts = 2;
  EXPECT_THAT(MakeFitWork(request, environment(), "job-1"),
              FailsWith(kInvalid, "restarts: got 2, must be 1"));
  request.options.restarts = 1;
  request.start_parameters = [&](const Layout&) -> absl::StatusOr<std::vector<double>> {
    std::vector<double> bad = start;
    bad[0] = 0.9;
    return bad;
  };
  EXPECT_THAT(MakeFitWork(request, environment(), "job-1"),
              FailsWith(kInvalid, "start.parameters.weights"));
  request.start_parameters = [](const Layout&) -> absl::StatusOr<std::vector<double>> {
    return InvalidArgument("start.parameters.means", "got text");
  };
  EXPECT_THAT(MakeFitWork(request, environment(), "job-1"),
              FailsWith(kInvalid, "start.parameters.means: got text"));
  request.start_model = "models/m";
  EXPECT_THAT(MakeFitWork(request, environment(), "job-1"), FailsWith(kInvalid, "start: got"));
}

TEST_F(FitWorkTest, StartsFromAModel) {
  UploadFaithful();
  const auto first = Fitted(Request("faithful")).version;
  ASSERT_THAT(server_.registry.SetAlias("models/m", "good"), IsOk());
  FitRequest request = Request("faithful");
  request.options.start = StartMethod::kGiven;
  request.options.restarts = 1;
  request.start_model = "models/m@good";
  const auto second = Fitted(request).version;
  EXPECT_EQ(second->name(), "models/m/versions/2");
  EXPECT_GE(second->report->objective, first->report->objective - 1e-9);
  EXPECT_LE(second->report->total_iterations, 2);

  const auto refused = [&](const char* text, auto spoil, absl::StatusCode code = kInvalid) {
    FitRequest spoilt = request;
    spoil(spoilt);
    EXPECT_THAT(MakeFitWork(std::move(spoilt), environment(), "job-1"), FailsWith(code, text));
  };
  refused("start.model: got models/m/versions/1, a model with other parameters",
          [](FitRequest& r) { r.model = Mixture(3); });
  refused("start.model: got models/m/versions/1, a model with other parameters",
          [](FitRequest& r) { r.model = Mixture(2, Covariance::kTied); });
  refused("start.model: got models/m/versions/1, a model of other columns", [](FitRequest& r) {
    r.source.columns = {"waiting", "eruptions"};
  });
  refused("start.model: got models/m/versions/1, a model of other columns",
          [](FitRequest& r) { r.source.columns = {"waiting"}; });
  refused("start.model: got", [](FitRequest& r) { r.start_model = "m"; });
  refused(
      "models/m@bad", [](FitRequest& r) { r.start_model = "models/m@bad"; },
      absl::StatusCode::kNotFound);
  // Another floor is another limit, not another kind of parameters.
  request.model = MixtureOptions{2, GaussianOptions{.ridge = 1e-6}};
  EXPECT_THAT(MakeFitWork(request, environment(), "job-1"), IsOk());
}

// Two components and two columns: a variance per component has the shape of one per column.
TEST_F(FitWorkTest, EqualShapesOfOtherStructuresAreNoStart) {
  UploadFaithful();
  FitRequest request = Request("faithful");
  request.model = Mixture(2, Covariance::kTiedDiagonal);
  Fitted(request);
  request.model = Mixture(2, Covariance::kSpherical);
  request.options.start = StartMethod::kGiven;
  request.options.restarts = 1;
  request.start_model = "models/m";
  EXPECT_THAT(MakeFitWork(std::move(request), environment(), "job-1"),
              FailsWith(kInvalid, "start.model: got models/m/versions/1"));
}

TEST_F(FitWorkTest, CancelledBeforeItRunsItLeavesNothing) {
  UploadFaithful();
  auto work = MakeFitWork(Request("faithful"), environment(), "job-1").value();
  WorkRun run(server_.pool, server_.clock.get());
  run.stop.request_stop();
  EXPECT_THAT(run.Run(*work), FailsWith(absl::StatusCode::kCancelled, ""));
  EXPECT_THAT(server_.registry.List({}).value().items, IsEmpty());
}

// The clock is asked at every iteration, so it can ask for the stop in the middle of the fit.
TEST_F(FitWorkTest, CancelledWhileItRunsItLeavesNothing) {
  const testing::Data data = testing::Blobs(20000, 2, 3, 1, 5);
  UploadCells("d", {"x", "y"}, data.values);
  FitRequest request = Request("d", 3);
  request.options.relative_tolerance = 0;
  request.options.max_iterations = std::numeric_limits<int64_t>::max();  // it would never end
  auto work = MakeFitWork(std::move(request), environment(), "job-1").value();
  std::atomic<int> asked = 0;
  WorkRun* started = nullptr;
  WorkRun run(server_.pool, [&] {
    if (++asked > 30 && started != nullptr) started->stop.request_stop();
    return absl::UnixEpoch();
  });
  started = &run;
  EXPECT_THAT(run.Run(*work), FailsWith(absl::StatusCode::kCancelled, ""));
  EXPECT_GE(run.Iterations().size(), 10u);
  EXPECT_THAT(server_.registry.List({}).value().items, IsEmpty());
}

TEST_F(FitWorkTest, KeepsWhatItReachedInItsTimeBudget) {
  UploadFaithful();
  FitRequest request = Request("faithful");
  request.options.relative_tolerance = 0;
  request.options.max_iterations = std::numeric_limits<int64_t>::max();
  request.options.time_budget = absl::Seconds(20);
  auto work = MakeFitWork(std::move(request), environment(), "job-1").value();
  std::atomic<int64_t> seconds = 0;
  WorkRun run(server_.pool, [&] { return absl::FromUnixSeconds(++seconds); });
  const auto result = run.Run(*work);
  ASSERT_THAT(result, IsOk());
  EXPECT_EQ(std::get<FitJobResult>(*result).report->best.termination, Termination::kTimeBudget);
  EXPECT_THAT(server_.registry.Get("m"), IsOk());
}

// Every row of one cluster is the same: its variance ends at the floor. Of so many restarts not
// every warning is kept, but the one about the result is.
TEST_F(FitWorkTest, WarnsOfRepairsInTheResult) {
  std::vector<double> cells;
  for (int i = 0; i < 40; ++i) cells.push_back(i % 2 == 0 ? 0 : 10 + 0.1 * i);
  UploadCells("d", {"x"}, cells);
  FitRequest request = Request("d");
  request.options.restarts = 300;
  auto work = MakeFitWork(std::move(request), environment(), "job-1").value();
  WorkRun run(server_.pool, server_.clock.get());
  const auto result = run.Run(*work);
  ASSERT_THAT(result, IsOk());
  const FitReport& report = *std::get<FitJobResult>(*result).report;
  ASSERT_FALSE(report.repairs.empty());
  EXPECT_EQ(report.repairs[0].reason, kVarianceFloored);
  EXPECT_FALSE(run.Warnings(kVarianceFloored).empty());
  const std::vector<WarningEvent> warnings = run.Warnings("RESULT_REPAIRED");
  ASSERT_THAT(warnings, SizeIs(1));
  EXPECT_EQ(warnings[0].restart, report.best.restart);
  EXPECT_THAT(warnings[0].message, HasSubstr(kVarianceFloored));
}

TEST_F(FitWorkTest, ReportsAtMostAThousandRestarts) {
  UploadCells("d", {"x"}, {1, 2, 3, 4, 10, 11, 12, 13});
  FitRequest request = Request("d", 1);
  request.options.restarts = 1500;
  const auto version = Fitted(std::move(request)).version;
  EXPECT_THAT(version->report->restarts, SizeIs(1000));
  EXPECT_EQ(version->report->optima.at(0).count, 1500);
}

TEST_F(FitWorkTest, ADatasetMayBeDeletedOnceItsFitIsQueued) {
  UploadFaithful();
  auto work = MakeFitWork(Request("faithful"), environment(), "job-1").value();
  ASSERT_THAT(server_.datasets.Delete("faithful"), IsOk());
  EXPECT_GT(server_.datasets.used_bytes(), 0);
  WorkRun run(server_.pool, server_.clock.get());
  EXPECT_THAT(run.Run(*work), IsOk());
  work.reset();
  EXPECT_EQ(server_.datasets.used_bytes(), 0);
}

TEST_F(FitWorkTest, RefusesAFitWhoseResultHasNoPlace) {
  UploadFaithful();
  ModelRegistry full({.max_models = 0, .clock = server_.clock.get()});
  const absl::Status status =
      MakeFitWork(Request("faithful"), {&server_.datasets, &full, &server_.pool}, "job-1").status();
  EXPECT_EQ(ReasonOf(status), "TOO_MANY_MODELS");
}

TEST_F(FitWorkTest, CountsWhatItHoldsAndWhatItWillNeed) {
  UploadFaithful();
  EXPECT_LT(MakeFitWork(Request("faithful"), environment(), "job-1").value()->held_bytes(), 4096);
  const testing::Data data = testing::Faithful();
  const int64_t inline_bytes = static_cast<int64_t>(data.values.size() * sizeof(double));
  FitRequest request = InlineRequest(data.values, {"x", "y"});
  request.spec = std::string(10000, 's');
  EXPECT_GE(MakeFitWork(request, environment(), "job-1").value()->held_bytes(),
            inline_bytes + 10000);
  const int64_t small = MakeFitWork(request, environment(), "job-1").value()->working_bytes();
  request = InlineRequest(data.values, {"x", "y"}, 200);
  const int64_t large = MakeFitWork(request, environment(), "job-1").value()->working_bytes();
  EXPECT_GT(small, 1000);
  EXPECT_GT(large, small);
}

}  // namespace
}  // namespace emserve::server
