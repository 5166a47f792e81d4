// What a fit may be asked for beside a model and complete rows: missing cells, labels, constraints,
// categories, storage, variants.
#include "server/jobs/fit_plan.h"

#include <cmath>
#include <limits>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/test_data.h"
#include "tests/server/fit_test.h"

namespace emserve::server {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pointwise;
using ::testing::SizeIs;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;
constexpr absl::StatusCode kPrecondition = absl::StatusCode::kFailedPrecondition;

class FitPlanTest : public FitTest {
 protected:
  // Two clusters in x and y with what is known of them: label and plausibilities.
  void UploadLabelled(const std::vector<double>& labels) {
    std::vector<double> cells;
    for (size_t i = 0; i < labels.size(); ++i) {
      const double x = static_cast<double>(i) + (i % 2 == 0 ? 0 : 20);
      cells.insert(cells.end(), {x, std::sin(x), labels[i], 1, labels[i] == 0 ? 0.0 : 1.0});
    }
    UploadCells("d", {"x", "y", "label", "p0", "p1"}, cells);
  }
  void ExpectRefused(FitRequest request, const char* text) {
    const absl::Status status = Refusal(std::move(request));
    EXPECT_THAT(status, FailsWith(kInvalid, text));
    EXPECT_TRUE(std::string(status.message()).starts_with(text)) << status;
  }
};

// The marginal of a Gaussian is its part: with one component the observed cells of each column
// have their own mean.
TEST_F(FitPlanTest, MissingCellsAreIntegratedOutWhereverTheRowsComeFrom) {
  std::vector<double> cells = emserve::testing::Faithful().values;
  for (size_t i = 5; i < cells.size(); i += 7) cells[i] = kNan;
  UploadCells("holes", {"x", "y"}, cells);
  FitRequest request = Request("holes");
  request.model = Mixture(1, Covariance::kDiagonal);
  const auto one = Fitted(request).version;
  ASSERT_THAT(one->summary.observed, SizeIs(2));
  EXPECT_NEAR(one->summary.observed[0], 1 - 1.0 / 7, 0.01);
  double sum = 0;
  double count = 0;
  for (size_t i = 0; i < cells.size(); i += 2) {
    if (std::isnan(cells[i])) continue;
    sum += cells[i];
    ++count;
  }
  EXPECT_NEAR(one->theta[1], sum / count, 1e-6);

  const auto two = Fitted(Request("holes")).version;
  EXPECT_EQ(two->report->best.termination, Termination::kConverged);
  EXPECT_EQ(Fitted(InlineRequest(cells, {"x", "y"})).version->theta, two->theta);
}

TEST_F(FitPlanTest, ARowWithoutACellCountsForNothing) {
  std::vector<double> cells = emserve::testing::Faithful().values;
  UploadFaithful();
  cells.insert(cells.begin(), {kNan, kNan});
  cells.insert(cells.end(), {kNan, kNan});
  UploadCells("longer", {"x", "y"}, cells);
  const auto longer = Fitted(Request("longer")).version;
  EXPECT_EQ(longer->summary.num_rows, 274);
  EXPECT_EQ(longer->summary.total_weight, 272);
  EXPECT_EQ(longer->report->criteria.num_observations, 272);
  EXPECT_NEAR(longer->report->log_likelihood, -1130.264, 0.0005);
  // As many components as rows that count: one more is refused at once.
  UploadCells("few", {"x", "y"}, {1, 2, kNan, kNan, 3, 5, 4, 4});
  EXPECT_THAT(MakeFitWork(Request("few", 4), environment(), "job-1"),
              FailsWith(kPrecondition, "model.num_components: got 4, must be at most 3"));
}

TEST_F(FitPlanTest, KnownLabelsDecideAndUnknownOnesDoNot) {
  UploadLabelled({1, 0, 1, 0, 1, 0, 1, 0, 1, 0});  // the other way round than by chance
  FitRequest request = Request("d");
  request.source.label_column = "label";
  request.source.columns = {"x"};
  request.model = Mixture(2, Covariance::kSpherical);
  const auto version = Fitted(request).version;
  EXPECT_NEAR(version->theta[2], 25, 1e-9);  // mean of the odd rows, labelled 0
  EXPECT_NEAR(version->theta[3], 4, 1e-9);
  ASSERT_THAT(server_.datasets.Delete("d"), IsOk());
  UploadLabelled({kNan, -1, 1, 0, kNan, -2, 1, 0, -1, -1});
  const auto partly = Fitted(request).version;
  EXPECT_NEAR(partly->theta[2], 25, 0.1);
  EXPECT_NEAR(partly->theta[3], 4, 0.1);
}

TEST_F(FitPlanTest, PlausibilitiesLeaveOutWhatIsImpossible) {
  UploadLabelled({1, 0, 1, 0, 1, 0, 1, 0, 1, 0});
  FitRequest request = Request("d");
  request.source.plausibility_columns = {"p0", "p1"};  // odd rows: component 0 for sure
  request.source.columns = {"x"};
  request.model = Mixture(2, Covariance::kSpherical);
  const auto version = Fitted(request).version;
  EXPECT_NEAR(version->theta[2], 25, 0.5);
  EXPECT_NEAR(version->theta[3], 4, 0.5);
}

TEST_F(FitPlanTest, ColumnsWithARoleAreNotModelledUnlessNamed) {
  UploadLabelled({1, 0, 1, 0, 1, 0, 1, 0, 1, 0});
  FitRequest request = Request("d");
  request.source.label_column = "label";
  request.source.responsibility_columns = {"p0", "p1"};
  request.options.start = StartMethod::kResponsibilities;
  request.options.restarts = 1;
  EXPECT_THAT(Fitted(request).version->column_names(), ElementsAre("x", "y"));
  request.source.columns = {"y", "p1", "x"};
  request.model = Mixture(2, Covariance::kSpherical);
  EXPECT_THAT(Fitted(request).version->column_names(), ElementsAre("y", "p1", "x"));
}

TEST_F(FitPlanTest, StartsFromResponsibilitiesInColumns) {
  UploadLabelled({1, 0, 1, 0, 1, 0, 1, 0, 1, 0});
  FitRequest request = Request("d");
  request.source.columns = {"x"};
  request.model = Mixture(2, Covariance::kSpherical);
  request.options.start = StartMethod::kResponsibilities;
  request.options.restarts = 1;
  request.options.max_iterations = 0;  // evaluates the start
  request.source.responsibility_columns = {"label"};
  const auto of_index = Fitted(request).version;
  EXPECT_NEAR(of_index->theta[2], 25, 1e-9);
  EXPECT_NEAR(of_index->theta[3], 4, 1e-9);
  request.source.responsibility_columns = {"p0", "p1"};  // 1 : 0 and 1 : 1
  EXPECT_NEAR(Fitted(request).version->theta[3], 4, 1e-9);
}

TEST_F(FitPlanTest, RefusesLabelsAndStartsThatFitNoComponent) {
  UploadLabelled({0, 1, 2, 0, 1, 0, 1, 0, 1, 0});
  const auto refused = [&](const char* text, auto spoil) {
    FitRequest request = Request("d");
    request.source.columns = {"x"};
    spoil(request);
    ExpectRefused(std::move(request), text);
  };
  refused("data.labels[2]: got 2, must be", [](auto& r) { r.source.label_column = "label"; });
  refused("label_column: got \"nope\"", [](auto& r) { r.source.label_column = "nope"; });
  refused("label_column: got one and plausibility_columns too", [](auto& r) {
    r.source.label_column = "label";
    r.source.plausibility_columns = {"p0", "p1"};
  });
  refused("plausibility_columns: got 1 columns, must be 2",
          [](auto& r) { r.source.plausibility_columns = {"p0"}; });
  refused("plausibility_columns[1]: got \"p0\" a second time", [](auto& r) {
    r.source.plausibility_columns = {"p0", "p0"};
  });
  refused("data.plausibilities[", [](auto& r) {
    r.source.plausibility_columns = {"p1", "y"};  // sines, some negative
  });
  refused("start.responsibility_columns.columns: got 3 columns, must be 2", [](auto& r) {
    r.options.start = StartMethod::kResponsibilities;
    r.options.restarts = 1;
    r.source.responsibility_columns = {"p0", "p1", "y"};
  });
  refused("restarts: got 10, must be 1", [](auto& r) {
    r.options.start = StartMethod::kResponsibilities;
    r.source.responsibility_columns = {"p0", "p1"};
  });
  // With a component more the label is one.
  FitRequest request = Request("d", 3);
  request.source.columns = {"x"};
  request.source.label_column = "label";
  EXPECT_THAT(MakeFitWork(std::move(request), environment(), "job-1"), IsOk());

  UploadCells("e", {"x", "p", "q"}, {1, 0, 1, 2, 1, kInfinity, 4, 0, 1});
  request = Request("e");
  request.options.start = StartMethod::kResponsibilities;
  request.options.restarts = 1;
  request.source.responsibility_columns = {"p", "q"};
  ExpectRefused(request, "start.responsibility_columns.columns[1]: got inf in row 1, must be");
}

TEST_F(FitPlanTest, ResponsibilitiesThatSayNothingAreRefused) {
  const auto refusal = [&](std::vector<double> p, std::vector<double> q) {
    std::vector<double> cells;
    for (size_t i = 0; i < p.size(); ++i) {
      cells.insert(cells.end(), {static_cast<double>(i), p[i]});
      if (!q.empty()) cells.push_back(q[i]);
    }
    FitRequest request =
        q.empty() ? InlineRequest(cells, {"x", "p"}) : InlineRequest(cells, {"x", "p", "q"});
    request.options.start = StartMethod::kResponsibilities;
    request.options.restarts = 1;
    request.source.responsibility_columns = {"p"};
    if (!q.empty()) request.source.responsibility_columns.push_back("q");
    return MakeFitWork(request, environment(), "job-1").status();
  };
  constexpr char kPath[] = "start.responsibility_columns.columns[";
  EXPECT_THAT(refusal({0, 1, kNan, 1}, {}), IsOk());
  EXPECT_THAT(refusal({0, 1, 2, 1}, {}),
              FailsWith(kInvalid, absl::StrCat(kPath,
                                               "0]: got 2 in row 2, must be a component, "
                                               "0 to 1")));
  EXPECT_THAT(refusal({0, -1, 0, 1}, {}), FailsWith(kInvalid, "0]: got -1 in row 1"));
  EXPECT_THAT(refusal({0, 1, 0, 0.5}, {}), FailsWith(kInvalid, "0]: got 0.5 in row 3"));
  EXPECT_THAT(refusal({1, 2, 0, kNan}, {0, 5, 0.5, 1}), IsOk());
  EXPECT_THAT(refusal({1, 2, 0, 1}, {0, 5, -0.5, 1}),
              FailsWith(kInvalid, absl::StrCat(kPath,
                                               "1]: got -0.5 in row 2, must be finite and "
                                               "0 or more")));
}

TEST_F(FitPlanTest, ConstraintsHoldAndBadOnesAreRefusedByTheirField) {
  UploadFaithful();
  FitRequest request = Request("faithful");
  request.model_field = [](std::string_view field) {
    return absl::StrCat("mixture.", std::string(field));
  };
  MixtureOptions options{2, GaussianOptions{}};
  options.constraints.fixed = {{"means", {0}, {2.5}}};
  request.model = options;
  EXPECT_EQ(Fitted(request).version->theta[2], 2.5);

  const auto refused = [&](const char* text, auto spoil) {
    FitRequest bad = request;
    MixtureOptions spoilt = options;
    spoil(spoilt.constraints);
    bad.model = spoilt;
    EXPECT_THAT(MakeFitWork(bad, environment(), "job-1"), FailsWith(kInvalid, text));
  };
  refused("model.mixture.constraints.fixed[0].array: got \"mean\", must be one of weights, means",
          [](auto& c) { c.fixed[0].array = "mean"; });
  refused("model.mixture.constraints.fixed[0].elements: got 4",
          [](auto& c) { c.fixed[0].elements = {4}; });
  refused("model.mixture.constraints.fixed[0].values: got 2 values", [](auto& c) {
    c.fixed[0].values = {1, 2};
  });
  refused("model.mixture.constraints.tied[0].elements: got 1 element", [](auto& c) {
    c.tied = {{"weights", {0}}};
  });
}

TEST_F(FitPlanTest, ColumnsOfCategoriesKnowTheirLevels) {
  DatasetSchema schema = RealColumns({"sex", "answer", "x"}, 6);
  schema.columns[0].kind = ColumnKind::kCategorical;
  schema.columns[0].levels = {"f", "m"};
  schema.columns[1].kind = ColumnKind::kCategorical;
  schema.columns[1].levels = {"no", "maybe", "yes", "never said"};
  ASSERT_THAT(Upload(server_.datasets, "d", schema,
                     Packed(std::vector<double>{0, 0, 1.5, 1, 2, 2.5, 0, 0, 3, 1, 2, 4, 0, 1, 5,  //
                                                1, kNan, 6})),
              IsOk());
  FitRequest request = Request("d", 1);
  request.source.columns = {"sex", "answer"};
  request.model = MixtureOptions{1, CategoricalOptions{}};
  request.spec = "spec";
  request.respecify = [](const std::string& spec, const FittedSpec& fitted) {
    const auto& mixture = std::get<MixtureOptions>(fitted.model);
    const auto& options = std::get<CategoricalOptions>(mixture.emission);
    EXPECT_EQ(fitted.start_model, "");
    EXPECT_FALSE(fitted.update_weight.has_value());
    EXPECT_THAT(options.first, ElementsAre(0, 0));
    EXPECT_THAT(options.num_levels, ElementsAre(2, 4));
    return spec + ", respecified";
  };
  const auto version = Fitted(request).version;
  EXPECT_EQ(version->spec, "spec, respecified");
  // weights, two probabilities of sex, four of answer, the last of them of a level nobody chose.
  ASSERT_THAT(version->theta, SizeIs(7));
  EXPECT_NEAR(version->theta[1], 0.5, 1e-9);
  EXPECT_NEAR(version->theta[3], 0.4, 1e-9);
  EXPECT_EQ(version->theta[6], 0);

  request.source.columns = {"sex"};
  request.model = MixtureOptions{1, BernoulliOptions{}};
  request.respecify = nullptr;
  EXPECT_NEAR(Fitted(request).version->theta[1], 0.5, 1e-9);
  const auto refused = [&](std::vector<std::string> columns, EmissionOptions emission,
                           const char* text) {
    FitRequest bad = Request("d", 1);
    bad.source.columns = std::move(columns);
    bad.model = MixtureOptions{1, std::move(emission)};
    EXPECT_THAT(MakeFitWork(bad, environment(), "job-1"), FailsWith(kInvalid, text));
  };
  refused({"answer"}, BernoulliOptions{}, "columns[answer]: got a categorical column with 4");
  refused({"sex", "x"}, PoissonOptions{}, "columns[sex]: got a categorical column");
  // Codes out of range are known before the fit runs, as are those that are none.
  request = Request("d", 1);
  request.source.columns = {"sex", "answer"};
  request.model = MixtureOptions{1, CategoricalOptions{.first = {}, .num_levels = {2}}};
  EXPECT_THAT(MakeFitWork(request, environment(), "job-1"),
              FailsWith(kPrecondition, "columns[answer]: got"));
}

TEST_F(FitPlanTest, BlocksOfColumnsHaveEmissionsOfTheirOwn) {
  DatasetSchema schema = RealColumns({"kind", "n", "x"}, 8);
  schema.columns[0].kind = ColumnKind::kCategorical;
  schema.columns[0].levels = {"a", "b", "c"};
  schema.columns[1].kind = ColumnKind::kCount;
  ASSERT_THAT(Upload(server_.datasets, "d", schema,
                     Packed(std::vector<double>{0, 3, 1.5, 1, 4, 2.5, 0, kNan, 3, 1, 2, 4,  //
                                                0, 1, 5,   1, 0, 6,   2, 9,    7, 2, 8, kNan})),
              IsOk());
  FitRequest request = Request("d", 1);
  request.source.columns = {"x", "kind", "n"};
  request.model = MixtureOptions{1, ProductOptions{{{"size", 1, GaussianOptions{}},
                                                    {"kind", 1, CategoricalOptions{}},
                                                    {"count", 1, PoissonOptions{}}}}};
  const auto version = Fitted(request).version;
  const Layout& layout = version->predictor->model().parameters();
  const auto value = [&](const char* array) { return version->theta[layout.Find(array)->offset]; };
  EXPECT_NEAR(value("size.means"), 29.0 / 7, 1e-5);
  EXPECT_NEAR(value("kind.probabilities_0"), 3.0 / 8, 1e-9);
  EXPECT_NEAR(value("count.rates"), 27.0 / 7, 1e-9);
}

TEST_F(FitPlanTest, Float32StorageGivesTheSameOptimumOrIsRefusedByColumn) {
  UploadFaithful();
  FitRequest request = Request("faithful");
  const int64_t wide = MakeFitWork(request, environment(), "job-1").value()->working_bytes();
  request.storage = Storage::kFloat32;
  EXPECT_GE(MakeFitWork(request, environment(), "job-1").value()->working_bytes(),
            wide + 272 * 2 * 4);
  const auto version = Fitted(request).version;
  EXPECT_NEAR(version->report->log_likelihood, -1130.264, 0.001);

  std::vector<double> cells = emserve::testing::Faithful().values;
  for (size_t i = 1; i < cells.size(); i += 2) cells[i] += 1e9;
  UploadCells("far", {"x", "y"}, cells);
  request = Request("far");
  request.storage = Storage::kFloat32;
  EXPECT_THAT(MakeFitWork(request, environment(), "job-1"),
              FailsWith(kPrecondition, "columns[y]: got"));
}

TEST_F(FitPlanTest, IterationsSayWhichPartOfTheRestartTheyAre) {
  UploadFaithful();
  FitRequest request = Request("faithful");
  request.options.restarts = 1;
  request.options.algorithm = Algorithm::kAnnealedEm;
  auto work = MakeFitWork(std::move(request), environment(), "job-1").value();
  WorkRun run(server_.pool, server_.clock.get());
  const auto result = run.Run(*work);
  ASSERT_THAT(result, IsOk());
  const std::vector<IterationEvent> iterations = run.Iterations();
  EXPECT_EQ(iterations.front().phase, Phase::kAnnealed);
  EXPECT_EQ(iterations.back().phase, Phase::kClimb);
  EXPECT_EQ(iterations.back().candidate, -1);
  const FitReport& report = *std::get<FitJobResult>(*result).report;
  EXPECT_GE(report.best.evaluations, static_cast<int64_t>(iterations.size()) - 2);
  EXPECT_EQ(report.total_evaluations, report.best.evaluations);
}

TEST_F(FitPlanTest, OptionsOutOfRangeAreRefusedByTheirFieldInTheSpecification) {
  UploadFaithful();
  const auto refused = [&](const char* text, auto spoil) {
    FitRequest request = Request("faithful");
    spoil(request.options);
    ExpectRefused(std::move(request), text);
  };
  refused("start.short_runs: got 0", [](FitOptions& o) { o.short_runs = 0; });
  refused("start.short_iterations: got 0", [](FitOptions& o) { o.short_iterations = 0; });
  refused("stopping.parameter_tolerance: got -1",
          [](FitOptions& o) { o.parameter_tolerance = -1; });
  refused("stopping.aitken_tolerance: got nan", [](FitOptions& o) { o.aitken_tolerance = kNan; });
  refused("variant.stochastic_iterations: got 0",
          [](FitOptions& o) { o.stochastic_iterations = 0; });
  refused("variant.initial_inverse_temperature: got 1",
          [](FitOptions& o) { o.initial_inverse_temperature = 1; });
  refused("variant.temperature_growth: got 1", [](FitOptions& o) { o.temperature_growth = 1; });
  refused("variant.stepwise_epochs: got 0", [](FitOptions& o) { o.stepwise_epochs = 0; });
  refused("variant.stepwise_batch_rows: got 0", [](FitOptions& o) { o.stepwise_batch_rows = 0; });
  refused("variant.stepwise_exponent: got 0.5", [](FitOptions& o) { o.stepwise_exponent = 0.5; });
  refused("variant.stepwise_delay: got 0", [](FitOptions& o) { o.stepwise_delay = 0; });
  refused("anderson_depth: got 0", [](FitOptions& o) { o.anderson_depth = 0; });
  refused("max_respawns: got -1", [](FitOptions& o) { o.max_respawns = -1; });
}

TEST_F(FitPlanTest, RowsOutsideTheSupportAreNamed) {
  UploadCells("d", {"n"}, {1, 2, 3.5, 4, 5, 6});
  FitRequest request = Request("d", 1);
  request.model = MixtureOptions{1, PoissonOptions{}};
  ExpectRefused(std::move(request), "data[2]: got 3.5 in column 'n'");
}

// A table for so many components would be larger than the machine.
TEST_F(FitPlanTest, ComponentsAreCountedBeforeATableIsMadeForThem) {
  const std::vector<double> cells = TwoClusters(10, 2, 1);
  const auto made = [&](int num_components) {
    FitRequest request = InlineRequest(cells, {"c0", "c1"}, num_components);
    request.source.label_column = "c1";
    return MakeFitWork(std::move(request), environment(), "job-1").status();
  };
  EXPECT_THAT(made(10'000'000),
              FailsWith(kPrecondition, "model.num_components: got 10000000, must be at most 10"));
  EXPECT_THAT(made(0), FailsWith(kInvalid, "model.num_components: got 0, must be at least 1"));
  EXPECT_THAT(made(-1), FailsWith(kInvalid, "model.num_components: got -1, must be at least 1"));
}

// A pass would notice that it is to stop.
TEST_F(FitPlanTest, LabelsAreHeldAgainstAnotherNumberOfComponentsWithoutAPass) {
  UploadLabelled({0, 1, 2, 0, 1, kNan, 1, 0, 1, -1});
  std::stop_source stopped;
  stopped.request_stop();
  for (const bool sealed : {true, false}) {
    FitSource source;
    if (sealed) {
      source.dataset = "datasets/d";
    } else {
      source = InlineRequest({1, 0, 2, 1, 3, 2, 4, kNan}, {"x", "label"}).source;
    }
    source.columns = {"x"};
    source.label_column = "label";
    FitData data = FindData(std::move(source), server_.datasets).value();
    const auto judged = [&](int num_components, std::stop_token stop) {
      const Table table = TableFor(data, num_components).value();
      return JudgeData(data, table, num_components, server_.pool, std::move(stop));
    };
    EXPECT_THAT(judged(2, stopped.get_token()), FailsWith(kInvalid, "data.labels[2]: got 2"));
    EXPECT_THAT(judged(3, stopped.get_token()), FailsWith(absl::StatusCode::kCancelled, ""));
    EXPECT_THAT(judged(3, {}), IsOk());
    EXPECT_THAT(judged(2, stopped.get_token()), FailsWith(kInvalid, "data.labels[2]: got 2"));
    EXPECT_THAT(judged(4, stopped.get_token()), IsOk());
  }
}

TEST_F(FitPlanTest, MakingAFitStopsWhenItIsToldTo) {
  std::stop_source stopped;
  stopped.request_stop();
  FitEnvironment told = environment();
  told.stop = stopped.get_token();
  EXPECT_THAT(MakeFitWork(InlineRequest(TwoClusters(10, 1, 1), {"x"}), told, "job-1"),
              FailsWith(absl::StatusCode::kCancelled, ""));
}

TEST_F(FitPlanTest, WhatNeedsTooMuchMemoryIsRefusedBeforeItIsMade) {
  FitRequest request = InlineRequest(TwoClusters(300, 2, 1), {"x", "y"});
  const auto bytes = [&](const FitRequest& of) {
    return MakeFitWork(of, environment(), "job-1").value()->working_bytes();
  };
  const int64_t without = bytes(request);
  constexpr int64_t kParameters = 2 + 4 + 8;
  MixtureOptions options{2, GaussianOptions{}};
  options.constraints.fixed = {{"weights", {0}, {0.5}}};
  request.model = options;
  EXPECT_GE(bytes(request), without + 18 * kParameters);
  options.constraints = {};
  options.emission = GaussianOptions{.prior = NormalInverseWishart()};
  request.model = options;
  EXPECT_GE(bytes(request), without + 2 * 2 * 2 * 8);

  FitEnvironment small = environment();
  small.max_working_bytes = without;
  EXPECT_THAT(MakeFitWork(request, small, "job-1"),
              FailsWith(absl::StatusCode::kResourceExhausted, "bytes of working memory"));
  // Parameters to start from are not asked for any more.
  small.max_working_bytes = 1 << 10;
  request.options.start = StartMethod::kGiven;
  request.options.restarts = 1;
  request.start_parameters = [](const Layout&) -> absl::StatusOr<std::vector<double>> {
    ADD_FAILURE() << "the parameters were made";
    return std::vector<double>();
  };
  EXPECT_THAT(MakeFitWork(request, small, "job-1"),
              FailsWith(absl::StatusCode::kResourceExhausted, "bytes of working memory"));
}

TEST_F(FitPlanTest, APlanCountsItsOptionsAndColumns) {
  FitRequest request = InlineRequest(TwoClusters(10, 2, 1), {"x", "y"});
  const auto held = [&](const FitRequest& of) {
    return MakeFitWork(of, environment(), "job-1").value()->held_bytes();
  };
  const int64_t little = held(request);
  request.options_bytes = 1'000'000;
  EXPECT_EQ(held(request), little + 1'000'000);
  request.options_bytes = 0;
  request = InlineRequest(TwoClusters(10, 2, 1), {"x", std::string(5000, 'y')});
  EXPECT_GE(held(request), little + 4999);
}

// Bounds would refuse what does not count.
TEST_F(FitPlanTest, RowsWithoutWeightMayHaveAnyCode) {
  UploadCells("d", {"code", "w"}, {0, 1, 1, 1, 2, 1, 7, 0, 1, 1});
  FitRequest request = Request("d", 1);
  request.source.weight_column = "w";
  request.model = MixtureOptions{1, CategoricalOptions{.first = {0}, .num_levels = {3}}};
  const auto version = Fitted(request).version;
  EXPECT_EQ(version->summary.total_weight, 4);
  EXPECT_NEAR(version->theta[2], 0.5, 1e-9);
}

TEST_F(FitPlanTest, ChoicesThatTheFamilyDoesNotHaveAreRefused) {
  UploadCells("d", {"x", "y"}, TwoClusters(40, 2, 1));
  std::vector<double> codes;
  for (int i = 0; i < 80; ++i) codes.push_back(i % 3);
  UploadCells("codes", {"x", "y"}, codes);
  const ModelOptions gaussian = Mixture(2);
  const ModelOptions kmeans = KMeansOptions{2};
  const ModelOptions categorical = MixtureOptions{2, CategoricalOptions{}};
  const ModelOptions mixed = MixtureOptions{
      2, ProductOptions{{{"a", 1, PoissonOptions{}}, {"b", 1, CategoricalOptions{}}}}};
  const ModelOptions counts =
      MixtureOptions{2, ProductOptions{{{"a", 1, PoissonOptions{}}, {"b", 1, PoissonOptions{}}}}};
  const auto status = [&](const ModelOptions& model, auto choose) {
    const bool real = FamilyName(model) == "gaussian_mixture" || FamilyName(model) == "kmeans";
    FitRequest request = Request(real ? "d" : "codes");
    request.model = model;
    choose(request.options);
    return MakeFitWork(std::move(request), environment(), "job-1").status();
  };
  for (const ModelOptions& model : {gaussian, kmeans, categorical, mixed, counts}) {
    EXPECT_THAT(status(model, [](FitOptions&) {}), IsOk());
    for (const StartMethod start : {StartMethod::kRandomRows, StartMethod::kShortRuns,
                                    StartMethod::kRandomResponsibilities}) {
      EXPECT_THAT(status(model, [&](FitOptions& o) { o.start = start; }), IsOk());
    }
    EXPECT_THAT(status(model, [](FitOptions& o) { o.algorithm = Algorithm::kStepwiseEm; }), IsOk());
    EXPECT_THAT(status(model, [](FitOptions& o) { o.acceleration = Acceleration::kSquarem; }),
                IsOk());
  }
  for (const StartMethod start : {StartMethod::kKMeansPlusPlus, StartMethod::kKMeans,
                                  StartMethod::kKMeansParallel, StartMethod::kAgglomerative}) {
    const auto choose = [&](FitOptions& o) { o.start = start; };
    for (const ModelOptions& model : {gaussian, kmeans, counts}) {
      EXPECT_THAT(status(model, choose), IsOk());
    }
    for (const ModelOptions& model : {categorical, mixed}) {
      const absl::Status refused = status(model, choose);
      EXPECT_THAT(refused, FailsWith(kInvalid, "which has no distance_starts; must be AUTO"));
      EXPECT_THAT(refused, FailsWith(kInvalid, "start.method: got "));
    }
  }
  for (const CollapsePolicy policy :
       {CollapsePolicy::kFail, CollapsePolicy::kRespawn, CollapsePolicy::kDrop}) {
    const auto choose = [&](FitOptions& o) { o.collapse = policy; };
    EXPECT_THAT(status(gaussian, choose), IsOk());
    EXPECT_THAT(status(kmeans, choose), FailsWith(kInvalid, "collapse: got "));
  }
  for (const Algorithm algorithm : {Algorithm::kStochasticEm, Algorithm::kAnnealedEm}) {
    const auto choose = [&](FitOptions& o) { o.algorithm = algorithm; };
    EXPECT_THAT(status(gaussian, choose), IsOk());
    EXPECT_THAT(status(kmeans, choose), FailsWith(kInvalid, "variant.algorithm: got "));
  }
  EXPECT_THAT(status(kmeans, [](FitOptions& o) { o.algorithm = Algorithm::kAnnealedEm; }),
              FailsWith(kInvalid,
                        "variant.algorithm: got ANNEALED_EM with kmeans, which has no "
                        "annealed_em; must be EM"));
}

TEST_F(FitPlanTest, ErrorsOfTheRunHaveTheirPathInTheRequestToo) {
  std::vector<double> cells;
  for (int i = 0; i < 40; ++i) cells.push_back(i % 2 == 0 ? 0 : 10 + 0.1 * i);
  FitRequest request = InlineRequest(cells, {"x"});
  request.options.collapse = CollapsePolicy::kFail;  // the half that is 0 collapses
  request.options.restarts = 1;
  request.at_path = [](const absl::Status& status) {
    return absl::Status(status.code(), "job.fit: " + std::string(status.message()));
  };
  auto work = MakeFitWork(request, environment(), "job-1");
  ASSERT_THAT(work, IsOk());
  WorkRun run(server_.pool, server_.clock.get());
  const absl::Status status = run.Run(**work).status();
  EXPECT_EQ(status.code(), kPrecondition);
  EXPECT_TRUE(std::string(status.message()).starts_with("job.fit: ")) << status;
  request.source.columns = {"y"};
  EXPECT_THAT(MakeFitWork(request, environment(), "job-1"),
              FailsWith(kInvalid, "job.fit: columns[0]: "));
}

}  // namespace
}  // namespace emserve::server
