// Starts: what they choose, what they refuse, and that weights and samples are respected.
#include "core/em/start.h"

#include <limits>
#include <memory>
#include <set>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/families.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/chain_data.h"
#include "tests/core/laws.h"
#include "tests/core/test_data.h"

namespace emserve::testing {
namespace {

using ::testing::HasSubstr;

// Start parameters of one restart.
absl::StatusOr<Theta> Draw(
    const Subject& subject, StartMethod method, uint64_t seed, int restart, int num_threads = 1,
    absl::FunctionRef<bool()> time_is_up = [] { return false; }) {
  Pool pool(num_threads);
  Pool::Share share(pool);
  Expectation expectation(*subject.model, subject.table, share, {});
  const Starts starts(*subject.model, subject.table, subject.summary, method, seed);
  Theta theta(subject.model->parameters().size());
  std::vector<Repair> repairs;
  absl::Status status = starts.Draw(restart, time_is_up, expectation, theta, repairs);
  if (!status.ok()) return status;
  return theta;
}

ModelOptions Spherical(int num_components) {
  return MixtureOptions{num_components, GaussianOptions{Covariance::kSpherical}};
}

TEST(Starts, FindSeparatedClustersAtOnce) {
  // 25 clusters 20 standard deviations apart: without several candidates per seed some would be
  // missed in nearly every start.
  Random random(1, 0);
  Data data{.num_columns = 1, .values = {}, .weights = {}};
  for (int i = 0; i < 2500; ++i) data.values.push_back(20 * (i % 25) + random.Normal());
  const Subject subject = MakeSubject(Spherical(25), data);
  int complete = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const auto theta = Draw(subject, StartMethod::kKMeansPlusPlus, seed, 0);
    ASSERT_TRUE(theta.ok()) << theta.status();
    std::set<int> found;
    for (int k = 0; k < 25; ++k) {
      if (std::abs((*theta)[k] - 0.04) < 1e-12) {
        found.insert(static_cast<int>(std::lround((*theta)[25 + k] / 20)));
      }
    }
    complete += found.size() == 25u;
  }
  EXPECT_GE(complete, 15);
}

TEST(Starts, DoNotDependOnUnits) {
  Data data = Faithful();
  const Subject plain = MakeSubject(Spherical(4), data);
  for (size_t i = 0; i < data.values.size(); i += 2) data.values[i] *= 1024;  // one column
  const Subject scaled = MakeSubject(Spherical(4), data);
  for (const StartMethod method : {StartMethod::kKMeansPlusPlus, StartMethod::kRandomRows}) {
    const auto a = Draw(plain, method, 3, 0);
    const auto b = Draw(scaled, method, 3, 0);
    ASSERT_TRUE(a.ok() && b.ok());
    for (int k = 0; k < 4; ++k) {
      EXPECT_NEAR((*a)[k], (*b)[k], 1e-12) << "weights are shares of rows per seed";
      EXPECT_NEAR((*a)[5 + 2 * k], (*b)[5 + 2 * k], 1e-9);
    }
  }
}

TEST(Starts, DifferByRestartAndSeedAndRepeat) {
  const Subject subject = MakeSubject(Spherical(4), Iris());
  for (const StartMethod method : {StartMethod::kKMeansPlusPlus, StartMethod::kRandomRows}) {
    const auto first = Draw(subject, method, 1, 0);
    EXPECT_EQ(*first, *Draw(subject, method, 1, 0));
    EXPECT_NE(*first, *Draw(subject, method, 1, 3));
    EXPECT_NE(*first, *Draw(subject, method, 2, 0));
  }
}

TEST(Starts, KeepRowsWholeInEveryThirdRestartOnly) {
  // Two far clusters: their hard start has their own variances, softened ones far larger ones.
  Data data{.num_columns = 1, .values = {}, .weights = {}};
  for (int i = 0; i < 50; ++i)
    data.values.insert(data.values.end(), {0.1 * (i % 5), 1000.0 + i % 5});
  const Subject subject = MakeSubject(Spherical(2), data);
  for (int restart = 0; restart < 6; ++restart) {
    const auto theta = Draw(subject, StartMethod::kKMeansPlusPlus, 1, restart);
    EXPECT_EQ((*theta)[4] < 10, restart % 3 == 0) << restart;
    EXPECT_NEAR((*theta)[0], 0.5, 1e-12);
  }
}

TEST(Starts, IgnoreRowsWithoutWeight) {
  // The outliers have no weight: no seed may be one of them.
  Data data = Blobs(300, 2, 3, 5, 8);
  data.weights.assign(300, 1.0);
  for (int i = 0; i < 40; ++i) {
    data.values[2 * i] = 1e6 * (i + 1);
    data.weights[i] = 0;
  }
  const Subject subject = MakeSubject(Spherical(3), data);
  for (const StartMethod method : {StartMethod::kKMeansPlusPlus, StartMethod::kRandomRows}) {
    for (int restart = 0; restart < 9; ++restart) {
      const auto theta = Draw(subject, method, 1, restart);
      ASSERT_TRUE(theta.ok());
      for (int k = 0; k < 3; ++k) {
        EXPECT_GT((*theta)[k], 0);
        EXPECT_LT((*theta)[3 + 2 * k], 100);
      }
    }
  }
}

TEST(Starts, IgnoreRowsWithoutACell) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  Data good = Blobs(50, 2, 2, 20, 8);
  Data data = good;
  data.values.insert(data.values.begin(), 100, kNan);
  for (const StartMethod method :
       {StartMethod::kKMeansPlusPlus, StartMethod::kRandomRows, StartMethod::kAgglomerative}) {
    const auto theta = Draw(MakeSubject(Spherical(2), data), method, 1, 0);
    const auto expected = Draw(MakeSubject(Spherical(2), good), method, 1, 0);
    ASSERT_TRUE(theta.ok()) << theta.status();
    for (size_t i = 0; i < theta->size(); ++i) EXPECT_NEAR((*theta)[i], (*expected)[i], 1e-9);
  }
}

TEST(Starts, LookAtTheStopTokenWhileTheyCountRows) {
  std::stop_source source;
  source.request_stop();
  Data data = Blobs(300, 1, 2, 20, 8);
  data.weights.assign(300, 1.0);
  data.weights[0] = 0;
  const Subject subject = MakeSubject(Spherical(2), data);
  Pool pool(1);
  Pool::Share share(pool);
  Expectation expectation(*subject.model, subject.table, share, {});
  const Starts starts(*subject.model, subject.table, subject.summary, StartMethod::kRandomRows, 1,
                      source.get_token());
  Theta theta(subject.model->parameters().size());
  std::vector<Repair> repairs;
  const absl::Status status = starts.Draw(
      0, [] { return false; }, expectation, theta, repairs);
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
}

TEST(Starts, CopeWithARowTooFarToMeasure) {
  // Its squared distance to the others is infinite, in units of their standard deviation too.
  Data data{.num_columns = 1, .values = {1e160, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, .weights = {}};
  data.weights.assign(11, 1.0);
  data.weights[0] = 1e-310;
  const Subject subject = MakeSubject(KMeansOptions{3}, data);
  for (const StartMethod method :
       {StartMethod::kKMeansPlusPlus, StartMethod::kRandomRows, StartMethod::kKMeans,
        StartMethod::kKMeansParallel, StartMethod::kAgglomerative}) {
    for (uint64_t seed = 0; seed < 20; ++seed) {
      const auto theta = Draw(subject, method, seed, 0);
      ASSERT_TRUE(theta.ok()) << theta.status();
      std::set<double> centres(theta->begin(), theta->end());
      EXPECT_EQ(centres.size(), 3u) << static_cast<int>(method) << ", seed " << seed;
    }
  }
}

TEST(Starts, FollowTheWeightsOfRows) {
  // Nearly all weight on three of ten places: a start with three components puts its seeds there.
  Data data{.num_columns = 1, .values = {}, .weights = {}};
  for (int i = 0; i < 10; ++i) {
    data.values.push_back(10 * i);
    data.weights.push_back(i % 4 == 0 && i < 9 ? 1e9 : 1);
  }
  const Subject subject = MakeSubject(Spherical(3), data);
  for (const StartMethod method : {StartMethod::kKMeansPlusPlus, StartMethod::kRandomRows}) {
    for (uint64_t seed = 0; seed < 20; ++seed) {
      const auto theta = Draw(subject, method, seed, 0);
      ASSERT_TRUE(theta.ok());
      for (int k = 0; k < 3; ++k) EXPECT_NEAR((*theta)[k], 1 / 3.0, 1e-6);
    }
  }
}

TEST(Starts, DoNotDependOnTheUnitOfWeights) {
  Data data = Blobs(150, 4, 3, 5, 8);
  for (double& value : data.values) value *= 1e-3;  // leaves room for the weights in sums
  const auto plain = Draw(MakeSubject(Spherical(5), data), StartMethod::kKMeansPlusPlus, 1, 0);
  ASSERT_TRUE(plain.ok()) << plain.status();
  for (const double weight : {1e-315, 1e-9, 1e306}) {  // near the ends of what a double holds
    data.weights.assign(150, weight);
    const auto theta = Draw(MakeSubject(Spherical(5), data), StartMethod::kKMeansPlusPlus, 1, 0);
    ASSERT_TRUE(theta.ok()) << theta.status();
    for (size_t i = 0; i < 5; ++i) EXPECT_NEAR((*theta)[i], (*plain)[i], 1e-6) << weight;
  }
}

TEST(Starts, SampleLargeTablesAndStillAssignEveryRow) {
  // More rows than the sample, some of them without weight.
  Data data = Blobs(60000, 1, 3, 40, 5);
  data.weights.assign(60000, 1.0);
  for (int i = 0; i < 60000; i += 4) data.weights[i] = 0;
  const Subject subject = MakeSubject(Spherical(3), data);
  const auto theta = Draw(subject, StartMethod::kKMeansPlusPlus, 1, 0);
  ASSERT_TRUE(theta.ok());
  for (int k = 0; k < 3; ++k) EXPECT_NEAR((*theta)[k], 1 / 3.0, 1e-3);
  EXPECT_EQ(*theta, *Draw(subject, StartMethod::kKMeansPlusPlus, 1, 0, 5)) << "with five threads";
}

TEST(Starts, CopeWithDuplicatedRows) {
  // 100 rows in four places.
  Data data{.num_columns = 2, .values = {}, .weights = {}};
  for (int i = 0; i < 100; ++i) {
    data.values.insert(data.values.end(), {static_cast<double>(i % 4), static_cast<double>(i % 2)});
  }
  for (const StartMethod method : {StartMethod::kKMeansPlusPlus, StartMethod::kRandomRows}) {
    const Subject enough = MakeSubject(Spherical(4), data);
    const auto theta = Draw(enough, method, 1, 0);
    ASSERT_TRUE(theta.ok()) << theta.status();
    for (int k = 0; k < 4; ++k) EXPECT_NEAR((*theta)[k], 0.25, 1e-12);

    const Subject too_many = MakeSubject(Spherical(5), data);
    const absl::Status status = Draw(too_many, method, 1, 0).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("got 5, must be at most 4"));
  }
}

TEST(Starts, AreRandomDistinctRowsOnceTimeIsUp) {
  // Ten places with a hundred rows each: ten random rows would miss some.
  Data data{.num_columns = 2, .values = {}, .weights = {}};
  for (int i = 0; i < 1000; ++i) {
    data.values.insert(data.values.end(), {100.0 * (i % 5), 100.0 * (i % 2)});
  }
  for (const int known : {0, 1, 4, 25}) {
    int looks = 0;
    const auto time_is_up = [&] { return looks++ >= known; };
    const auto draw = [&](int num_components) {
      looks = 0;
      const Subject subject = MakeSubject(Spherical(num_components), data);
      return Draw(subject, StartMethod::kKMeansPlusPlus, 1, 0, 1, time_is_up);
    };
    const auto theta = draw(10);
    ASSERT_TRUE(theta.ok()) << theta.status();
    for (int k = 0; k < 10; ++k) EXPECT_NEAR((*theta)[k], 0.1, 1e-12);
    EXPECT_EQ(looks, known + 1);
    EXPECT_THAT(std::string(draw(11).status().message()), HasSubstr("got 11, must be at most 10"));
  }
}

TEST(Starts, SayThatRowsAreTooCloseForTheirScale) {
  // Sixty different rows that five others, far out, make one.
  Data data = Blobs(60, 1, 1, 1, 3);
  data.values.insert(data.values.end(), 5, 1e20);
  const Subject subject = MakeSubject(Spherical(3), data);
  const absl::Status status = Draw(subject, StartMethod::kKMeansPlusPlus, 1, 0).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  const std::string message(status.message());
  EXPECT_THAT(message, HasSubstr("got 3, must be at most 2"));
  EXPECT_THAT(message, HasSubstr("scaling by the columns' standard deviations"));
  EXPECT_THAT(message, HasSubstr("outliers"));
  EXPECT_THAT(message, HasSubstr("fewer components"));
}

// A chain of four states with two symbols, which differ by what follows them.
ChainData Coins(int64_t num_rows) {
  constexpr double kNext[4][4] = {{0.01, 0.97, 0.01, 0.01},
                                  {0.01, 0.01, 0.97, 0.01},
                                  {0.106, 0.01, 0.01, 0.874},
                                  {0.874, 0.106, 0.01, 0.01}};
  constexpr double kOne[4] = {0.1, 0.1, 0.9, 0.1};
  Random random(3, 0);
  ChainData data;
  data.rows.num_columns = 1;
  int state = 0;
  for (int64_t i = 0; i < num_rows; ++i) {
    data.rows.values.push_back(random.Uniform() < kOne[state]);
    double left = random.Uniform();
    int next = 0;
    while (next < 3 && (left -= kNext[state][next]) > 0) ++next;
    state = next;
  }
  return data;
}

absl::StatusOr<FitResult> FitCoins(const ChainData& data, int num_states, FitOptions options,
                                   int num_threads = 1) {
  const Table table = data.ToTable();
  const Summary summary = SummaryOf(table);
  const auto model = MakeModel(HmmOptions{num_states, CategoricalOptions{}}, summary, {"coin"});
  if (!model.ok()) return model.status();
  Pool pool(num_threads);
  Pool::Share share(pool);
  RunOptions run;
  run.share = &share;
  return Fit(**model, table, summary, options, run);
}

TEST(Starts, ChainsMayHaveMoreStatesThanRowsThatDiffer) {
  const ChainData data = Coins(500);
  FitOptions options;
  options.relative_tolerance = 1e-7;
  FitOptions given = options;
  given.start = StartMethod::kGiven;
  given.restarts = 1;
  given.given = {0.25,  0.25, 0.25, 0.25,                             // initial
                 0.01,  0.97, 0.01, 0.01,  0.01,  0.01,  0.97, 0.01,  // transitions
                 0.106, 0.01, 0.01, 0.874, 0.874, 0.106, 0.01, 0.01,  //
                 0.9,   0.1,  0.9,  0.1,   0.1,   0.9,   0.9,  0.1};  // codes
  const auto truth = FitCoins(data, 4, given);
  ASSERT_TRUE(truth.ok()) << truth.status();
  const auto four = FitCoins(data, 4, options);
  ASSERT_TRUE(four.ok()) << four.status();
  EXPECT_GT(four->objective, truth->objective - 0.2);
  options.max_iterations = 10;
  options.restarts = 3;
  for (const StartMethod method :
       {StartMethod::kAuto, StartMethod::kKMeansPlusPlus, StartMethod::kRandomRows,
        StartMethod::kKMeans, StartMethod::kKMeansParallel, StartMethod::kShortRuns,
        StartMethod::kAgglomerative}) {
    options.start = method;
    const auto fit = FitCoins(data, 3, options);
    ASSERT_TRUE(fit.ok()) << fit.status();
    for (const RestartOutcome& restart : fit->restarts) EXPECT_TRUE(restart.status.ok());
    const auto again = FitCoins(data, 3, options, 4);
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(fit->theta, again->theta);
  }
}

// Sequences are not joined: what ends one is no neighbour of what begins the next.
TEST(Starts, NeighboursEndWithTheirSequence) {
  ChainData data;
  data.rows.num_columns = 1;
  for (int i = 0; i < 30; ++i) data.rows.values.insert(data.rows.values.end(), {0, 0, 1});
  data.lengths.assign(30, 3);
  const Table cut = data.ToTable();
  const Subject subject = MakeSubject(HmmOptions{3, CategoricalOptions{}}, data.rows);
  Theta thetas[2];
  for (const bool joined : {false, true}) {
    const Table table = joined ? data.rows.ToTable() : cut;
    Pool pool(1);
    Pool::Share share(pool);
    Expectation expectation(*subject.model, table, share, {});
    const Starts starts(*subject.model, table, subject.summary, StartMethod::kRandomRows, 1);
    thetas[joined].resize(subject.model->parameters().size());
    std::vector<Repair> repairs;
    ASSERT_TRUE(starts
                    .Draw(
                        0, [] { return false; }, expectation, thetas[joined], repairs)
                    .ok());
  }
  // Of what states emit: where the sequences are cut shows in transitions anyway.
  constexpr std::ptrdiff_t kOfChain = 3 + 9;
  EXPECT_FALSE(
      std::equal(thetas[0].begin() + kOfChain, thetas[0].end(), thetas[1].begin() + kOfChain));
}

TEST(Starts, MoreStatesThanAgglomerationMergesAreRefusedByTheirName) {
  const Subject subject = MakeSubject(HmmOptions{4097, PoissonOptions{}}, Coins(5000).rows);
  FitOptions options;
  options.start = StartMethod::kAgglomerative;
  Pool pool(1);
  Pool::Share share(pool);
  RunOptions run;
  run.share = &share;
  const absl::Status status =
      Fit(*subject.model, subject.table, subject.summary, options, run).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("num_states: got 4097"));
}

TEST(Starts, FitsWithDuplicatedRowsAreSound) {
  Data data{.num_columns = 2, .values = {}, .weights = {}};
  for (int i = 0; i < 100; ++i) {
    data.values.insert(data.values.end(), {static_cast<double>(i % 4), static_cast<double>(i % 2)});
  }
  for (const Covariance covariance :
       {Covariance::kFull, Covariance::kTied, Covariance::kDiagonal, Covariance::kTiedDiagonal,
        Covariance::kSpherical, Covariance::kTiedSpherical}) {
    const auto fit = FitData(MixtureOptions{4, GaussianOptions{covariance}}, data, {});
    ASSERT_TRUE(fit.ok()) << fit.status();
    for (const double value : fit->theta) EXPECT_TRUE(std::isfinite(value));
    if (fit->best.termination != Termination::kDegenerate) {
      EXPECT_TRUE(fit->repairs.empty());
    }
  }
}

TEST(Starts, OneComponentPerRowIsDegenerateNotACrash) {
  const Data data{.num_columns = 1, .values = {1, 2, 4, 8, 16}, .weights = {}};
  const auto fit = FitData(Spherical(5), data, {});
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_EQ(fit->best.termination, Termination::kDegenerate);
}

// Every method gives a sound start, and with labels one where every component has its own rows.
TEST(Starts, EveryMethodStartsAClimb) {
  for (const StartMethod method :
       {StartMethod::kAuto, StartMethod::kKMeansPlusPlus, StartMethod::kRandomRows,
        StartMethod::kKMeans, StartMethod::kKMeansParallel, StartMethod::kRandomResponsibilities,
        StartMethod::kShortRuns, StartMethod::kAgglomerative}) {
    FitOptions options;
    options.start = method;
    options.restarts = 6;
    const auto fit =
        FitData(MixtureOptions{3, GaussianOptions{Covariance::kTied}}, Iris(), options);
    ASSERT_TRUE(fit.ok()) << static_cast<int>(method) << ": " << fit.status();
    EXPECT_GT(fit->objective, -270) << static_cast<int>(method);
    const auto again =
        FitData(MixtureOptions{3, GaussianOptions{Covariance::kTied}}, Iris(), options, 3);
    EXPECT_EQ(fit->theta, again->theta) << static_cast<int>(method);
  }
}

TEST(Starts, TheAutomaticOnesTakeTurns) {
  const Subject subject = MakeSubject(Spherical(3), Iris());
  for (int restart = 0; restart < 4; ++restart) {
    const StartMethod turn =
        restart % 2 == 0 ? StartMethod::kKMeansPlusPlus : StartMethod::kRandomRows;
    EXPECT_EQ(*Draw(subject, StartMethod::kAuto, 1, restart), *Draw(subject, turn, 1, restart));
  }
  // Every third restart of a fit begins with short runs; one component needs none.
  for (const int num_components : {1, 3}) {
    FitOptions options;
    options.restarts = 3;
    const auto fit = FitData(Spherical(num_components), Iris(), options);
    ASSERT_TRUE(fit.ok()) << fit.status();
    for (const RestartOutcome& outcome : fit->restarts) {
      const bool runs = num_components > 1 && outcome.restart == 2;
      EXPECT_EQ(outcome.evaluations > outcome.iterations + 100, runs) << outcome.restart;
    }
  }
}

TEST(Starts, AgglomerationRefusesMoreComponentsThanItMergesRows) {
  FitOptions options;
  options.start = StartMethod::kAgglomerative;
  const auto fit = FitData(Spherical(4097), Blobs(4200, 1, 1, 1, 3), options);
  EXPECT_TRUE(absl::IsInvalidArgument(fit.status())) << fit.status();
  EXPECT_THAT(std::string(fit.status().message()),
              HasSubstr("num_components: got 4097, must be at most 4096"));
}

// `columns` columns of cells in `values`, of which the first is modelled.
Table WithExtraColumns(std::vector<double> values, int columns, Table::Options options) {
  auto owner = std::make_shared<const std::vector<double>>(std::move(values));
  const auto num_rows = static_cast<int64_t>(owner->size()) / columns;
  Cells cells{.owner = owner,
              .bytes = reinterpret_cast<const std::byte*>(owner->data()),
              .num_rows = num_rows,
              .num_columns = columns};
  options.columns = {0};
  return Table::Create(std::move(cells), std::move(options)).value();
}

TEST(Starts, AgglomeratedClustersTakeTheirLabels) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  // Clusters at 0, 100 and 200 come in this order; labels name the second 2 and the third 0.
  std::vector<double> values;
  for (int i = 0; i < 90; ++i) {
    const double label = i == 31 ? 2 : i == 62 ? 0 : kNan;
    values.insert(values.end(), {100.0 * (i / 30) + 0.1 * (i % 7), label});
  }
  Table::Options options;
  options.label_column = 1;
  options.label_components = 3;
  const Table table = WithExtraColumns(values, 2, options);
  const Summary summary = SummaryOf(table);
  const Subject subject{table, summary, MakeModel(Spherical(3), summary, table.names()).value()};
  const auto theta = Draw(subject, StartMethod::kAgglomerative, 1, 0);
  ASSERT_TRUE(theta.ok()) << theta.status();
  EXPECT_NEAR((*theta)[3], 200, 1);
  EXPECT_NEAR((*theta)[4], 0, 1);
  EXPECT_NEAR((*theta)[5], 100, 1);
}

// The fit of two components to six rows whose start is given by `starts` [6 x columns].
absl::StatusOr<FitResult> FitFrom(const std::vector<std::vector<double>>& starts,
                                  std::vector<double> weights = {}) {
  std::vector<double> values;
  Table::Options options;
  for (size_t i = 0; i < starts.size(); ++i) {
    values.push_back(static_cast<double>(i < 3 ? i : 100 + i));
    values.insert(values.end(), starts[i].begin(), starts[i].end());
  }
  const auto columns = static_cast<int>(starts[0].size());
  for (int c = 1; c <= columns; ++c) options.start_columns.push_back(c);
  if (!weights.empty()) {
    options.weights = std::make_shared<const std::vector<double>>(std::move(weights));
  }
  const Table table = WithExtraColumns(std::move(values), 1 + columns, std::move(options));
  const Summary summary = SummaryOf(table);
  const auto model = MakeModel(Spherical(2), summary, table.names());
  Pool pool(2);
  Pool::Share share(pool);
  FitOptions fit_options;
  fit_options.start = StartMethod::kResponsibilities;
  fit_options.restarts = 1;
  RunOptions run;
  run.share = &share;
  return Fit(**model, table, summary, fit_options, run);
}

TEST(Starts, GivenOnesAreRefusedByTheirCell) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for (const auto& [value, text] : {std::pair(7.0, "got 7"),
                                    {2.0, "got 2"},
                                    {1.5, "got 1.5"},
                                    {-1.0, "got -1"},
                                    {kInfinity, "got inf"}}) {
    const auto fit = FitFrom({{0}, {kNan}, {0}, {1}, {value}, {9}});
    EXPECT_TRUE(absl::IsInvalidArgument(fit.status())) << fit.status();
    EXPECT_THAT(std::string(fit.status().message()),
                HasSubstr(absl::StrCat("start_columns[0]: ", text,
                                       " in row 4, must be a component, 0 to 1")));
  }
  for (const auto& [value, text] : {std::pair(-0.5, "got -0.5"), {kInfinity, "got inf"}}) {
    const auto fit = FitFrom({{1, 0}, {3, kNan}, {1, 0}, {0, 0.2}, {0, value}, {-1, 1}});
    EXPECT_TRUE(absl::IsInvalidArgument(fit.status())) << fit.status();
    EXPECT_THAT(std::string(fit.status().message()),
                HasSubstr(absl::StrCat("start_columns[1]: ", text,
                                       " in row 4, must be finite and 0 or more")));
  }
}

TEST(Starts, GivenOnesMayBeMissingAndAnythingInRowsWithoutWeight) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for (const auto& starts :
       {std::vector<std::vector<double>>{{1}, {kNan}, {1}, {0}, {0}, {7}},
        {{0, 1e308}, {kNan, kNan}, {0, 2}, {1e308, 1e307}, {1, kNan}, {kInfinity, -1}}}) {
    const auto fit = FitFrom(starts, {1, 1, 1, 1, 1, 0});
    ASSERT_TRUE(fit.ok()) << fit.status();
    EXPECT_NEAR(fit->theta[0], 0.4, 1e-9);
    EXPECT_NEAR(fit->theta[3], 1, 1e-6);
  }
}

// With clusters far apart the seeds of the distance methods lie in different clusters.
TEST(Starts, ParallelSeedsFindClustersThatAreFarApart) {
  const Data data = Blobs(30000, 3, 8, 60, 12);
  FitOptions options;
  options.start = StartMethod::kKMeansParallel;
  options.restarts = 1;
  options.max_iterations = 5;
  const auto parallel = FitData(KMeansOptions{8}, data, options);
  ASSERT_TRUE(parallel.ok()) << parallel.status();
  // Rows lie at a squared distance of 3 from their centres on average.
  EXPECT_NEAR(-parallel->objective / 30000, 3, 0.1);
}

}  // namespace
}  // namespace emserve::testing
