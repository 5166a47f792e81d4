// The driver's own rules, on a model small enough to say in advance what happens.
#include <atomic>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "core/em/fit.h"
#include "core/families.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/laws.h"
#include "tests/core/test_data.h"

namespace emserve::testing {
namespace {

using ::testing::HasSubstr;

// One parameter that every maximisation moves by `next`, and an objective that is a function of it.
class Toy : public Model {
 public:
  Toy() {
    parameters_.Add("position", {1});
    statistics_.Add("count", {1});
  }

  std::function<double(double)> objective = [](double position) { return -position; };
  std::function<double(double)> step = [](double position) { return position / 2; };
  std::function<absl::Status(double, std::vector<Repair>&)> repair = [](double, auto&) {
    return absl::OkStatus();
  };

  const Layout& parameters() const override { return parameters_; }
  const Layout& statistics() const override { return statistics_; }
  int num_columns() const override { return 1; }
  int num_components() const override { return 1; }
  int64_t doubles_per_row() const override { return 2; }
  int64_t degrees_of_freedom(std::span<const double>) const override { return 1; }
  absl::Status CheckRows(const Block&, const std::vector<std::string>&) const override {
    return absl::OkStatus();
  }
  void Recenter(std::span<const double>, std::span<const double>,
                std::span<double>) const override {}
  void ExpectedStatistics(std::span<const double>, double, double,
                          std::span<double>) const override {}
  double ExpectedLogDensity(std::span<const double>, std::span<const double>,
                            std::span<const double>) const override {
    return 0;
  }
  void ToUnconstrained(std::span<const double> theta,
                       std::span<double> coordinates) const override {
    coordinates[0] = theta[0];
  }
  void FromUnconstrained(std::span<const double> coordinates, std::span<const double>,
                         std::span<double> theta) const override {
    theta[0] = coordinates[0];
  }
  void Reweigh(int, double, std::span<double>) const override {}
  std::unique_ptr<Prepared> NewPrepared() const override { return std::make_unique<Position>(); }
  std::unique_ptr<Workspace> NewWorkspace(int) const override {
    return std::make_unique<Workspace>();
  }
  absl::Status Validate(std::span<const double> theta) const override {
    if (theta.size() == 1) return absl::OkStatus();
    return absl::InvalidArgumentError("position: must be one number");
  }
  absl::Status Prepare(std::span<const double> theta, Prepared& prepared) const override {
    static_cast<Position&>(prepared).value = theta[0];
    return absl::OkStatus();
  }
  double EStep(const Prepared& prepared, const Block& block, const Assignment&, Workspace&,
               std::span<double>) const override {
    return block.first_row == 0 ? objective(static_cast<const Position&>(prepared).value) : 0;
  }
  void GivenStep(const Prepared&, const Block&, std::span<const double>, Workspace&,
                 std::span<double>) const override {}
  absl::Status MStep(std::span<const double> theta, std::span<const double>, std::span<double> next,
                     const MaximizeContext& context) const override {
    next[0] = step(theta[0]);
    return repair(next[0], context.repairs);
  }
  double LogPrior(std::span<const double>) const override { return 0; }
  void Reference(const Summary&, std::span<double> theta) const override { theta[0] = 2; }
  void Infer(const Prepared& prepared, const Block& block, Workspace&,
             RowOutputs outputs) const override {
    for (int i = 0; i < block.num_rows; ++i) {
      if (outputs.log_density != nullptr) {
        outputs.log_density[i] =
            i == 3 ? objective(static_cast<const Position&>(prepared).value) : 0;
      }
      if (outputs.component_log_density != nullptr) {
        outputs.component_log_density[i] = outputs.log_density[i];
      }
    }
  }
  int Sample(const Prepared&, Random&, std::span<double>) const override { return 0; }

 private:
  struct Position : Prepared {
    double value = 0;
  };
  Layout parameters_;
  Layout statistics_;
};

class Recorder : public Observer {
 public:
  void OnIteration(const Progress& progress) override {
    const std::lock_guard lock(mutex_);
    iterations[progress.restart].push_back(progress);
    if (on_iteration) on_iteration();
  }
  void OnWarning(int, const std::string& reason, const std::string& message) override {
    const std::lock_guard lock(mutex_);
    warnings.emplace_back(reason, message);
  }
  std::map<int, std::vector<Progress>> iterations;
  std::vector<std::pair<std::string, std::string>> warnings;
  std::function<void()> on_iteration;

 private:
  std::mutex mutex_;
};

class Driver : public ::testing::Test {
 protected:
  Driver() : table_(Faithful().ToTable()), summary_(SummaryOf(table_)), pool_(1), share_(pool_) {
    options_.start = StartMethod::kGiven;
    options_.given = {2};
    options_.restarts = 1;
    run_.share = &share_;
    run_.observer = &recorder_;
  }

  absl::StatusOr<FitResult> Run() { return Fit(toy_, table_, summary_, options_, run_); }

  // Faithful with full covariances and ordinary starts.
  absl::StatusOr<FitResult> RunMixture(int num_components = 2) {
    mixture_ =
        MakeModel(MixtureOptions{num_components, GaussianOptions{}}, summary_, {"a", "b"}).value();
    options_.start = StartMethod::kKMeansPlusPlus;
    return Fit(*mixture_, table_, summary_, options_, run_);
  }

  Toy toy_;
  std::unique_ptr<Model> mixture_;
  const Table table_;
  const Summary summary_;
  Pool pool_;
  Pool::Share share_;
  Recorder recorder_;
  FitOptions options_;
  RunOptions run_;
};

TEST_F(Driver, ConvergesByTheRelativeToleranceAndSaysBothNumbers) {
  options_.relative_tolerance = 0.3;
  const auto fit = Run();
  ASSERT_TRUE(fit.ok()) << fit.status();
  // -2, -1, -0.5: changes 1 > 0.3 x 2, then 0.5 > 0.3 x 1.5, then 0.25 <= 0.3 x 1.25.
  EXPECT_EQ(fit->best.termination, Termination::kConverged);
  EXPECT_EQ(fit->best.iterations, 3);
  EXPECT_DOUBLE_EQ(fit->objective, -0.25);
  EXPECT_DOUBLE_EQ(fit->theta[0], 0.25);
  EXPECT_THAT(fit->best.message, HasSubstr("0.25"));
  EXPECT_THAT(fit->best.message, HasSubstr("0.375"));
}

TEST_F(Driver, ConvergesByTheAbsoluteToleranceAndSaysBothNumbers) {
  options_.relative_tolerance = 0;
  options_.absolute_tolerance = 0.2;
  const auto fit = Run();
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_EQ(fit->best.termination, Termination::kConverged);
  EXPECT_EQ(fit->best.iterations, 4);
  EXPECT_THAT(fit->best.message, HasSubstr("0.125"));
  EXPECT_THAT(fit->best.message, HasSubstr("0.2"));
}

TEST_F(Driver, IterationLimitIsAnOutcomeWithTheObjectiveOfItsParameters) {
  options_.max_iterations = 5;
  const auto fit = Run();
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_EQ(fit->best.termination, Termination::kIterationLimit);
  EXPECT_EQ(fit->best.iterations, 5);
  EXPECT_DOUBLE_EQ(fit->theta[0], 2.0 / 32);
  EXPECT_DOUBLE_EQ(fit->objective, -2.0 / 32);
}

TEST_F(Driver, ZeroIterationsEvaluateTheStart) {
  options_.max_iterations = 0;
  const auto fit = Run();
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_EQ(fit->best.termination, Termination::kIterationLimit);
  EXPECT_EQ(fit->theta, std::vector<double>{2});
  EXPECT_EQ(fit->objective, -2);
}

TEST_F(Driver, ObjectiveThatDecreasesEndsWithTheBetterParameters) {
  toy_.step = [](double position) { return position - 0.75; };
  toy_.objective = [](double position) { return -position * position; };
  const auto fit = Run();  // 2, 1.25, 0.5, -0.25, -1 (worse)
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_EQ(fit->best.termination, Termination::kObjectiveDecreased);
  EXPECT_DOUBLE_EQ(fit->theta[0], -0.25);
  EXPECT_DOUBLE_EQ(fit->objective, -0.0625);
  EXPECT_THAT(fit->best.message, HasSubstr("0.9375"));
  ASSERT_EQ(recorder_.warnings.size(), 1u);
  EXPECT_EQ(recorder_.warnings[0].first, "OBJECTIVE_DECREASED");
}

TEST_F(Driver, FlooredVarianceThatStopsIsDegenerate) {
  toy_.repair = [](double, std::vector<Repair>& repairs) {
    repairs.push_back({.reason = kVarianceFloored, .component = 0, .amount = 0.5});
    return absl::OkStatus();
  };
  const auto fit = Run();
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_EQ(fit->best.termination, Termination::kDegenerate);
  ASSERT_EQ(fit->repairs.size(), 1u);
  EXPECT_EQ(fit->repairs[0].reason, kVarianceFloored);
  ASSERT_EQ(recorder_.warnings.size(), 1u) << "one warning, not one per iteration";
  EXPECT_EQ(recorder_.warnings[0].first, kVarianceFloored);
}

// Two rises by 0.5 and a fall by 0.25. Two maximisations lie behind each change, with `rounding`
// nats each.
TEST_F(Driver, DecreaseThatTheRoundingOfARepairExplainsEndsDegenerate) {
  double rounding = 0.13;
  toy_.repair = [&](double, std::vector<Repair>& repairs) {
    repairs.push_back({.reason = kVarianceFloored, .component = 0, .rounding = rounding});
    return absl::OkStatus();
  };
  toy_.step = [](double position) { return position + 1; };
  toy_.objective = [](double position) { return position / 2 - (position > 4 ? 0.75 : 0); };
  const auto explained = Run();  // 1, 1.5, 2, 1.75
  ASSERT_TRUE(explained.ok()) << explained.status();
  EXPECT_EQ(explained->best.termination, Termination::kDegenerate);
  EXPECT_EQ(explained->best.iterations, 3);
  EXPECT_EQ(explained->objective, 2);
  EXPECT_EQ(explained->theta[0], 4);
  EXPECT_EQ(explained->repairs.size(), 1u);
  EXPECT_THAT(explained->best.message, HasSubstr("0.25"));
  EXPECT_THAT(explained->best.message, HasSubstr("0.26"));

  rounding = 0.12;
  const auto unexplained = Run();
  ASSERT_TRUE(unexplained.ok()) << unexplained.status();
  EXPECT_EQ(unexplained->best.termination, Termination::kObjectiveDecreased);
  EXPECT_EQ(unexplained->objective, 2);
}

// 1, 1.5, 2 and then a little less, whatever would stop the climb there.
TEST_F(Driver, TraceNeverFallsBelowWhatItHasReached) {
  toy_.step = [](double position) { return position + 1; };
  toy_.objective = [](double position) { return position > 4 ? 2 - 1e-9 : position / 2; };
  for (const Acceleration acceleration :
       {Acceleration::kNone, Acceleration::kSquarem, Acceleration::kAnderson}) {
    for (const double tolerance : {0.0, 1e-9, 1e-3}) {
      options_.acceleration = acceleration;
      options_.relative_tolerance = tolerance;
      recorder_.iterations.clear();
      const auto fit = Run();
      ASSERT_TRUE(fit.ok()) << fit.status();
      EXPECT_EQ(fit->best.termination, Termination::kConverged);
      EXPECT_EQ(fit->objective, 2);
      EXPECT_EQ(fit->theta[0], 4);
      double before = -1;
      for (const Progress& progress : recorder_.iterations[0]) {
        EXPECT_GE(progress.objective, before) << progress.iteration;
        EXPECT_GE(progress.change.value_or(0), 0);
        before = progress.objective;
      }
    }
  }
}

// Nor in the noise of a covariance that is as good as singular.
TEST_F(Driver, TraceNeverFallsWithAVarianceAtItsFloor) {
  Data collinear{.num_columns = 3, .values = {}, .weights = {}};
  const Data faithful = Faithful();
  for (int64_t i = 0; i < faithful.num_rows(); ++i) {
    const double a = faithful.values[2 * i];
    const double b = faithful.values[2 * i + 1];
    collinear.values.insert(collinear.values.end(), {a, b, a - 0.3 * b});
  }
  const Table table = collinear.ToTable();
  const Summary summary = SummaryOf(table);
  const std::unique_ptr<Model> model =
      MakeModel(MixtureOptions{3, GaussianOptions{}}, summary, {"a", "b", "c"}).value();
  options_.start = StartMethod::kKMeansPlusPlus;
  options_.restarts = 8;
  options_.max_iterations = 300;
  options_.relative_tolerance = 0;
  for (const Acceleration acceleration :
       {Acceleration::kNone, Acceleration::kSquarem, Acceleration::kAnderson}) {
    options_.acceleration = acceleration;
    recorder_.iterations.clear();
    const auto fit = Fit(*model, table, summary, options_, run_);
    ASSERT_TRUE(fit.ok()) << fit.status();
    for (const auto& [restart, iterations] : recorder_.iterations) {
      for (size_t i = 1; i < iterations.size(); ++i) {
        EXPECT_GE(iterations[i].objective,
                  iterations[i - 1].objective - 1e-12 * std::abs(iterations[i].objective))
            << restart << " " << i;
      }
      EXPECT_EQ(fit->restarts[restart].objective, iterations.back().objective);
    }
  }
}

TEST_F(Driver, RelativeToleranceIsMeasuredByTheMeanWeight) {
  Data data = Faithful();
  data.weights.assign(data.num_rows(), 1e-6);
  data.weights[0] = 0;  // does not count
  const Table table = data.ToTable();
  options_.relative_tolerance = 0.3;
  toy_.objective = [](double position) { return -1e-6 * position; };
  const auto fit = Fit(toy_, table, SummaryOf(table), options_, run_);
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_EQ(fit->best.iterations, 3) << "as without weights: " << fit->best.message;
  EXPECT_THAT(fit->best.message, HasSubstr("(1e-06 + |objective|)"));
}

TEST_F(Driver, DecreaseIsMeasuredByTheMeanWeight) {
  Data data = Faithful();
  data.weights.assign(data.num_rows(), 1e-12);
  const Table table = data.ToTable();
  toy_.step = [](double position) { return position - 0.75; };
  toy_.objective = [](double position) { return -1e-12 * position * position; };
  const auto fit = Fit(toy_, table, SummaryOf(table), options_, run_);  // 2, ..., -0.25, -1 (worse)
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_EQ(fit->best.termination, Termination::kObjectiveDecreased) << fit->best.message;
  EXPECT_DOUBLE_EQ(fit->theta[0], -0.25);
}

TEST_F(Driver, OptimaAreToldApartByTheMeanWeight) {
  Data data = Faithful();
  data.weights.assign(data.num_rows(), 1e-9);
  const Table table = data.ToTable();
  // Three starts, each its own optimum, 1e-9 nats apart.
  int starts = 0;
  toy_.step = [&](double) { return ++starts; };
  toy_.objective = [](double position) { return 1e-9 * position; };
  options_.start = StartMethod::kRandomRows;
  options_.restarts = 3;
  options_.max_iterations = 0;
  const auto fit = Fit(toy_, table, SummaryOf(table), options_, run_);
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_EQ(fit->optima.size(), 3u);
}

TEST_F(Driver, FloorThatNoLongerActsIsForgiven) {
  toy_.repair = [](double position, std::vector<Repair>& repairs) {
    if (position > 0.1) repairs.push_back({.reason = kVarianceFloored});
    return absl::OkStatus();
  };
  const auto fit = Run();
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_EQ(fit->best.termination, Termination::kConverged);
  EXPECT_TRUE(fit->repairs.empty());
}

TEST_F(Driver, EmptyComponentIsReportedButNotDegenerate) {
  toy_.repair = [](double, std::vector<Repair>& repairs) {
    repairs.push_back({.reason = kComponentEmpty, .component = 0});
    return absl::OkStatus();
  };
  const auto fit = Run();
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_EQ(fit->best.termination, Termination::kConverged);
  ASSERT_EQ(fit->repairs.size(), 1u);
}

TEST_F(Driver, TimeBudgetEndsTheFitWithWhatItHas) {
  absl::Time now = absl::UnixEpoch();
  run_.clock = [&] { return now; };
  recorder_.on_iteration = [&] { now += absl::Seconds(1); };
  options_.time_budget = absl::Milliseconds(2500);
  const auto fit = Run();
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_EQ(fit->best.termination, Termination::kTimeBudget);
  EXPECT_EQ(fit->best.iterations, 2);
  EXPECT_DOUBLE_EQ(fit->objective, -0.5);
  EXPECT_THAT(fit->best.message, HasSubstr("3s"));
  EXPECT_THAT(fit->best.message, HasSubstr("2.5s"));
}

TEST_F(Driver, TimeBudgetSkipsTheRestartsItDoesNotReach) {
  absl::Time now = absl::UnixEpoch();
  run_.clock = [&] { return now; };
  recorder_.on_iteration = [&] { now += absl::Seconds(1); };
  options_.time_budget = absl::Seconds(1);
  options_.restarts = 3;
  const auto fit = RunMixture();
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_TRUE(fit->restarts[0].status.ok());
  EXPECT_EQ(fit->best.termination, Termination::kTimeBudget);
  for (const int r : {1, 2}) {
    EXPECT_TRUE(absl::IsDeadlineExceeded(fit->restarts[r].status)) << fit->restarts[r].status;
    EXPECT_EQ(fit->restarts[r].restart, r);
  }
}

// The clock gains a second with every look at it, so it runs out among the seeds.
TEST_F(Driver, TimeBudgetThatIsSpentOnSeedsStillGivesAStart) {
  for (const StartMethod method : {StartMethod::kKMeansPlusPlus, StartMethod::kRandomRows}) {
    for (const int seconds : {1, 5, 30}) {
      int64_t looks = 0;
      run_.clock = [&] { return absl::UnixEpoch() + absl::Seconds(looks++); };
      options_.time_budget = absl::Seconds(seconds);
      options_.restarts = 3;
      options_.start = method;
      const int num_components = 40;
      const auto model =
          MakeModel(MixtureOptions{num_components, GaussianOptions{Covariance::kDiagonal}},
                    summary_, {"a", "b"});
      const auto fit = Fit(**model, table_, summary_, options_, run_);
      ASSERT_TRUE(fit.ok()) << fit.status();
      EXPECT_EQ(fit->best.restart, 0);
      EXPECT_EQ(fit->best.termination, Termination::kTimeBudget);
      EXPECT_EQ(fit->best.iterations, 0);
      EXPECT_TRUE((*model)->Validate(fit->theta).ok()) << (*model)->Validate(fit->theta);
      EXPECT_TRUE(std::isfinite(fit->objective));
      for (int k = 0; k < num_components; ++k) EXPECT_GT(fit->theta[k], 0) << "a seed of its own";
      EXPECT_LE(looks, seconds + 10);
    }
  }
}

TEST_F(Driver, CancelsWithinAMaximisation) {
  class Slow : public Toy {
   public:
    absl::Status MStep(std::span<const double>, std::span<const double>, std::span<double>,
                       const MaximizeContext& context) const override {
      source.request_stop();
      return context.stop.stop_requested() ? absl::CancelledError("stop was requested")
                                           : absl::InternalError("the token was not handed on");
    }
    mutable std::stop_source source;
  };
  for (const StartMethod start : {StartMethod::kGiven, StartMethod::kRandomRows}) {
    const Slow slow;
    run_.stop = slow.source.get_token();
    options_.start = start;
    EXPECT_TRUE(absl::IsCancelled(Fit(slow, table_, summary_, options_, run_).status()));
    EXPECT_TRUE(recorder_.warnings.empty());
  }
}

TEST_F(Driver, CancelsWithinABlock) {
  std::stop_source source;
  run_.stop = source.get_token();
  recorder_.on_iteration = [&] {
    if (recorder_.iterations[0].size() == 3) source.request_stop();
  };
  EXPECT_TRUE(absl::IsCancelled(Run().status()));
  EXPECT_EQ(recorder_.iterations[0].size(), 3u);
}

TEST_F(Driver, CancelsBeforeItBegins) {
  std::stop_source source;
  source.request_stop();
  run_.stop = source.get_token();
  options_.restarts = 4;
  EXPECT_TRUE(absl::IsCancelled(RunMixture().status()));
  EXPECT_TRUE(recorder_.iterations.empty());
}

TEST_F(Driver, ObserverSeesEveryIterationWithItsChange) {
  options_.max_iterations = 3;
  ASSERT_TRUE(Run().ok());
  const std::vector<Progress>& seen = recorder_.iterations[0];
  ASSERT_EQ(seen.size(), 4u);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(seen[i].iteration, i);
    EXPECT_DOUBLE_EQ(seen[i].objective, -2 / std::pow(2, i));
    EXPECT_EQ(seen[i].change.has_value(), i > 0);
  }
  EXPECT_DOUBLE_EQ(*seen[1].change, 1);
}

TEST_F(Driver, NonFiniteObjectiveIsExplainedByRowAndComponent) {
  toy_.objective = [](double position) {
    return position < 1.5 ? std::numeric_limits<double>::quiet_NaN() : 0;
  };
  options_.relative_tolerance = 0;
  const absl::Status status = Run().status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("row 3"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("component 0"));
  ASSERT_EQ(recorder_.warnings.size(), 1u);
  EXPECT_EQ(recorder_.warnings[0].first, "RESTART_FAILED");
}

TEST_F(Driver, FailedRestartDoesNotFailTheFit) {
  // Fails restarts that come through a bad region, which depends on their start.
  class Picky : public Toy {
   public:
    absl::Status MStep(std::span<const double> theta, std::span<const double> stats,
                       std::span<double> next, const MaximizeContext& context) const override {
      if (++calls % 3 == 1) return absl::FailedPreconditionError("position: collapsed");
      return Toy::MStep(theta, stats, next, context);
    }
    mutable std::atomic<int> calls = 0;
  };
  const Picky picky;
  options_.start = StartMethod::kRandomRows;
  options_.restarts = 4;
  options_.max_iterations = 0;  // the only maximisation is that of the start
  const auto fit = Fit(picky, table_, summary_, options_, run_);
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_FALSE(fit->restarts[0].status.ok());
  EXPECT_TRUE(fit->restarts[1].status.ok());
  EXPECT_TRUE(fit->restarts[2].status.ok());
  EXPECT_FALSE(fit->restarts[3].status.ok());
  EXPECT_EQ(fit->best.restart, 1);
  EXPECT_EQ(fit->optima.size(), 1u);
  EXPECT_EQ(fit->optima[0].count, 2);
}

TEST_F(Driver, AllRestartsFailedIsAFailedPreconditionWithTheFirstReason) {
  int calls = 0;
  toy_.repair = [&](double, auto&) {
    return absl::FailedPreconditionError(++calls == 1 ? "position: collapsed" : "position: lost");
  };
  options_.start = StartMethod::kRandomRows;
  options_.restarts = 3;
  const absl::Status status = Run().status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("all 3 restarts failed"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("position: collapsed"));
}

TEST_F(Driver, AllRestartsFailedForOneReasonIsThatReason) {
  toy_.repair = [](double, auto&) { return absl::FailedPreconditionError("position: collapsed"); };
  options_.start = StartMethod::kRandomRows;
  options_.restarts = 3;
  EXPECT_EQ(Run().status(), absl::FailedPreconditionError("position: collapsed"));
}

TEST_F(Driver, DegenerateRestartLosesAgainstAnyOther) {
  // Restart 0 starts elsewhere than restart 1 and ends high at a floor.
  class Two : public Toy {
   public:
    absl::Status MStep(std::span<const double> theta, std::span<const double>,
                       std::span<double> next, const MaximizeContext& context) const override {
      const bool start = theta[0] == 2;
      if (start) ++starts;
      next[0] = start ? (starts == 1 ? 100 : 50) : theta[0];
      if (next[0] == 100) context.repairs.push_back({.reason = kVarianceFloored});
      return absl::OkStatus();
    }
    mutable int starts = 0;
  };
  Two two;
  two.objective = [](double position) { return position; };
  options_.start = StartMethod::kRandomRows;
  options_.restarts = 3;
  const auto fit = Fit(two, table_, summary_, options_, run_);
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_EQ(fit->restarts[0].termination, Termination::kDegenerate);
  EXPECT_EQ(fit->restarts[0].objective, 100);
  EXPECT_EQ(fit->best.restart, 1);
  EXPECT_EQ(fit->objective, 50);
  ASSERT_EQ(fit->optima.size(), 2u);
  EXPECT_EQ(fit->optima[0].objective, 50);
  EXPECT_EQ(fit->optima[0].count, 2);
  EXPECT_EQ(fit->optima[1].first_restart, 0);
  EXPECT_FALSE(fit->optima[0].degenerate);
  EXPECT_TRUE(fit->optima[1].degenerate);
}

TEST_F(Driver, EndsWithParametersThatAMaximisationGave) {
  // Every change is small and every iteration is extrapolated.
  double image = 0;
  toy_.step = [&](double position) { return image = position / 2 - position * position / 20; };
  toy_.objective = [](double position) { return -1e-3 * std::abs(position); };
  for (const Acceleration acceleration : {Acceleration::kSquarem, Acceleration::kAnderson}) {
    for (const int64_t limit : {2, 4, 5, 1000}) {
      options_.acceleration = acceleration;
      options_.relative_tolerance = limit == 1000 ? 0.5 : 0;
      options_.max_iterations = limit;
      const auto fit = Run();
      ASSERT_TRUE(fit.ok()) << fit.status();
      EXPECT_EQ(fit->best.termination,
                limit == 1000 ? Termination::kConverged : Termination::kIterationLimit);
      EXPECT_EQ(fit->theta[0], image) << static_cast<int>(acceleration) << " " << limit;
    }
  }
}

// SQUAREM takes 0.5, 0.25, 0.125 to 0, which lies lower; a maximisation from there leads to 0.1, at
// a floor.
TEST_F(Driver, RepairsAreThoseOfTheMaximisationThatSteadiedAnExtrapolation) {
  toy_.step = [](double position) { return position == 0 ? 0.1 : position / 2; };
  toy_.objective = [](double position) { return position == 0 ? -10 : -position; };
  toy_.repair = [](double next, std::vector<Repair>& repairs) {
    if (next == 0.1) repairs.push_back({.reason = kVarianceFloored});
    return absl::OkStatus();
  };
  absl::Time now = absl::UnixEpoch();
  run_.clock = [&] { return now; };
  recorder_.on_iteration = [&] { now += absl::Seconds(1); };
  options_.time_budget = absl::Milliseconds(4500);
  options_.acceleration = Acceleration::kSquarem;
  const auto fit = Run();
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_EQ(fit->best.iterations, 4);
  EXPECT_EQ(fit->theta[0], 0.1);
  ASSERT_EQ(fit->repairs.size(), 1u);
  EXPECT_EQ(fit->repairs[0].reason, kVarianceFloored);
  EXPECT_TRUE(fit->optima[0].degenerate);
}

TEST_F(Driver, LogPriorThatIsNotFiniteFailsTheRestart) {
  class Impossible : public Toy {
   public:
    double LogPrior(std::span<const double> theta) const override {
      return theta[0] < 1 ? -std::numeric_limits<double>::infinity() : 0;
    }
  };
  const absl::Status status = Fit(Impossible(), table_, summary_, options_, run_).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("log prior: got -inf after iteration 2"));
}

TEST_F(Driver, ReturnsTheObjectiveOfTheParametersItReturns) {
  for (const int64_t limit : {0, 1, 2, 7, 1000}) {
    options_.max_iterations = limit;
    options_.restarts = 4;
    const auto fit = RunMixture(3);
    ASSERT_TRUE(fit.ok()) << fit.status();
    EXPECT_NEAR(fit->objective, LogLikelihood(*mixture_, table_, fit->theta),
                1e-10 * std::abs(fit->objective));
    EXPECT_EQ(fit->objective, fit->log_likelihood + fit->log_prior);
  }
}

TEST_F(Driver, RestartIsReproducibleAlone) {
  options_.restarts = 6;
  options_.seed = 9;
  const auto many = RunMixture(4);
  ASSERT_TRUE(many.ok());
  options_.restarts = 3;
  const auto few = RunMixture(4);
  ASSERT_TRUE(few.ok());
  for (int r = 0; r < 3; ++r) {
    EXPECT_EQ(many->restarts[r].objective, few->restarts[r].objective);
    EXPECT_EQ(many->restarts[r].iterations, few->restarts[r].iterations);
  }
}

TEST_F(Driver, SeedsDiffer) {
  options_.max_iterations = 0;
  std::set<double> objectives;
  for (uint64_t seed = 0; seed < 5; ++seed) {
    options_.seed = seed;
    objectives.insert(RunMixture(4)->objective);
  }
  EXPECT_GT(objectives.size(), 2u);
}

TEST_F(Driver, CountsEveryOptimumAndEveryIteration) {
  options_.restarts = 12;
  const auto fit = RunMixture(3);
  ASSERT_TRUE(fit.ok());
  int count = 0;
  for (const Optimum& optimum : fit->optima) count += optimum.count;
  EXPECT_EQ(count, 12);
  EXPECT_EQ(fit->optima[0].objective, fit->objective);
  for (size_t i = 1; i < fit->optima.size(); ++i) {
    EXPECT_LT(fit->optima[i].objective, fit->optima[i - 1].objective);
  }
  int64_t iterations = 0;
  for (const RestartOutcome& restart : fit->restarts) iterations += restart.iterations;
  EXPECT_EQ(fit->total_iterations, iterations);
}

TEST_F(Driver, WarmStartFromAResultStaysThere) {
  const auto cold = RunMixture();
  ASSERT_TRUE(cold.ok());
  options_.start = StartMethod::kGiven;
  options_.given = cold->theta;
  const auto warm = Fit(*mixture_, table_, summary_, options_, run_);
  ASSERT_TRUE(warm.ok()) << warm.status();
  EXPECT_LE(warm->best.iterations, 1);
  EXPECT_NEAR(warm->objective, cold->objective, 1e-5);
}

TEST_F(Driver, GivenStartBelowTheFloorIsRaisedAndNotCalledADecrease) {
  // Variance 1e-30 around one duplicated value: the likelihood there is huge, and the first
  // maximisation has to give it up.
  Data data{.num_columns = 1, .values = {0, 0, 0, 0, 1, 2, 3, 4, 5, 6}, .weights = {}};
  const Subject subject = MakeSubject(MixtureOptions{2, GaussianOptions{}}, data);
  options_.given = {0.4, 0.6, 0, 3.5, 1e-30, 2.9};
  const auto fit = Fit(*subject.model, subject.table, subject.summary, options_, run_);
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_EQ(fit->best.termination, Termination::kDegenerate) << fit->best.message;
}

TEST_F(Driver, BadOptionsAreRefusedByName) {
  const auto expect_refused = [&](const std::string& field) {
    const absl::Status status = Run().status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << field << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(field));
    options_ = FitOptions();
    options_.start = StartMethod::kGiven;
    options_.given = {2};
    options_.restarts = 1;
  };
  options_.restarts = 0;
  expect_refused("restarts");
  options_.restarts = 2;
  expect_refused("restarts");
  options_.max_iterations = -1;
  expect_refused("max_iterations");
  options_.relative_tolerance = std::numeric_limits<double>::quiet_NaN();
  expect_refused("relative_tolerance");
  options_.absolute_tolerance = -1;
  expect_refused("absolute_tolerance");
  options_.time_budget = absl::ZeroDuration();
  expect_refused("time_budget");
  options_.time_budget = absl::Seconds(1);
  expect_refused("clock");
  options_.given = {1, 2, 3};
  expect_refused("position");
}

TEST(TerminationNames, AreUpperSnake) {
  EXPECT_STREQ(TerminationName(Termination::kConverged), "CONVERGED");
  EXPECT_STREQ(TerminationName(Termination::kIterationLimit), "ITERATION_LIMIT");
  EXPECT_STREQ(TerminationName(Termination::kTimeBudget), "TIME_BUDGET");
  EXPECT_STREQ(TerminationName(Termination::kObjectiveDecreased), "OBJECTIVE_DECREASED");
  EXPECT_STREQ(TerminationName(Termination::kDegenerate), "DEGENERATE");
}

}  // namespace
}  // namespace emserve::testing
