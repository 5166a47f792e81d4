// Options of hidden Markov models and of their durations: what they leave out, and what is refused.
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "core/em/durations.h"
#include "core/emission/poisson.h"
#include "core/latent/hmm.h"
#include "gtest/gtest.h"
#include "tests/core/test_data.h"

namespace emserve::testing {
namespace {

absl::StatusOr<std::unique_ptr<Model>> Make(const HmmHyperparameters& hyperparameters) {
  const Data data{.num_columns = 1, .values = {3, 1, 4, 1, 5}, .weights = {}};
  const Table table = data.ToTable();
  return MakeHmm(MakePoisson({}, 3, SummaryOf(table), table.names()).value(), hyperparameters);
}

std::string Refusal(const HmmHyperparameters& hyperparameters) {
  return std::string(Make(hyperparameters).status().message());
}

HmmHyperparameters WithPoissonDurations() {
  HmmHyperparameters options;
  options.durations = DurationKind::kPoisson;
  options.max_duration = 20;
  return options;
}

// Transitions that there are not are no parameters; of a shape nothing is held.
TEST(HmmOptions, AShapeHasTheSameLayoutsAndNothingHeld) {
  HmmHyperparameters options = WithPoissonDurations();
  const std::unique_ptr<Model> whole = Make(options).value();
  options.shape_only = true;
  const std::unique_ptr<Model> shape = Make(options).value();
  EXPECT_EQ(shape->parameters().size(), whole->parameters().size());
  EXPECT_EQ(shape->statistics().size(), whole->statistics().size());
  EXPECT_EQ(shape->doubles_per_row(), whole->doubles_per_row());
  EXPECT_EQ(shape->degrees_of_freedom({}), whole->degrees_of_freedom({}) + 3);
}

TEST(HmmOptions, FixedTransitionsMayAgreeWithThePattern) {
  HmmHyperparameters options = WithPoissonDurations();
  const int64_t free = Make(options).value()->degrees_of_freedom({});
  options.constraints.fixed = {{"transitions", {0, 4, 8}, {0}}};
  EXPECT_EQ(Make(options).value()->degrees_of_freedom({}), free);
  options.constraints.fixed = {{"transitions", {4}, {0.25}}};
  EXPECT_EQ(Refusal(options),
            "constraints.fixed[0].values: got 0.25 for transitions[1, 1], must be 0, at which the "
            "model's structure holds it");
}

// Whoever sets one expects something of it.
TEST(HmmOptions, RefusesOptionsOfWhatThereIsNot) {
  HmmHyperparameters options;
  options.max_duration = 5;
  EXPECT_EQ(Refusal(options),
            "max_duration: got 5 with geometric durations, which have no longest one, must be "
            "absent; choose other durations");
  options = WithPoissonDurations();
  options.duration_concentration = 2;
  EXPECT_EQ(Refusal(options),
            "duration_concentration: got 2 with durations that are not free, must be 1");
  options.durations = DurationKind::kFree;
  EXPECT_EQ(Refusal(options), "");
  options = {};
  options.initial = InitialDistribution::kStationary;
  options.initial_concentration = 2;
  EXPECT_EQ(Refusal(options),
            "initial_concentration: got 2 with a stationary distribution, which follows from the "
            "transitions, must be 1");
}

// What is never left has no duration that could be seen.
TEST(HmmOptions, StatesThatAreNotLeftHaveNoFreeDurations) {
  HmmHyperparameters options = WithPoissonDurations();
  const auto num_free = [&] { return Make(options).value()->degrees_of_freedom({}); };
  EXPECT_EQ(num_free(), 2 + 3 + 3 + 3);  // initial, transitions, durations, rates
  options.transitions = TransitionPattern::kStepwise;
  EXPECT_EQ(num_free(), 2 + 0 + 2 + 3);
  options.durations = DurationKind::kNegativeBinomial;
  EXPECT_EQ(num_free(), 2 + 0 + 4 + 3);
  options.durations = DurationKind::kFree;
  EXPECT_EQ(num_free(), 2 + 0 + 2 * 19 + 3);
  options.durations = DurationKind::kPoisson;
  options.constraints.tied = {{"duration_rates", {0, 2}}};
  EXPECT_EQ(num_free(), 2 + 0 + 2 + 3);
  options.constraints = {.fixed = {{"duration_rates", {0, 2}, {4}}}, .tied = {}};
  EXPECT_EQ(num_free(), 2 + 0 + 1 + 3);
}

// Transitions that there are not have no part in priors.
TEST(HmmOptions, OnlyStatesThatCanStayAreSticky) {
  HmmHyperparameters options;
  options.stickiness = 2;
  options.allowed_transitions = {0, 1, 0, 1, 1, 1, 1, 1, 1};
  const std::unique_ptr<Model> model = Make(options).value();
  const std::vector<double> theta = {0.2,  0.3, 0.5,  0,    1, 0, 0.25, 0.5,
                                     0.25, 0.5, 0.25, 0.25, 1, 2, 3};
  EXPECT_TRUE(model->Validate(theta).ok()) << model->Validate(theta);
  EXPECT_DOUBLE_EQ(model->LogPrior(theta), 2 * std::log(0.5) + 2 * std::log(0.25));
  std::vector<double> never_stays = theta;
  never_stays[7] = 0;
  never_stays[8] = 0.75;
  EXPECT_EQ(model->Validate(never_stays).message(),
            "transitions[1, 1]: got 0, must be positive with a stickiness of 2; set a stickiness "
            "of 0, or a small probability");
}

TEST(HmmOptions, RefusesPriorsThatAreNone) {
  HmmHyperparameters options = WithPoissonDurations();
  options.durations = DurationKind::kFree;
  for (const double bad : {0.5, -1.0, std::nan(""), std::numeric_limits<double>::infinity()}) {
    options.duration_concentration = bad;
    EXPECT_NE(Refusal(options).find("duration_concentration: got"), std::string::npos) << bad;
  }
  options.duration_concentration = 1;
  EXPECT_EQ(Refusal(options), "");
  for (double HmmHyperparameters::*prior :
       {&HmmHyperparameters::initial_concentration, &HmmHyperparameters::transition_concentration,
        &HmmHyperparameters::stickiness, &HmmHyperparameters::duration_concentration}) {
    HmmHyperparameters large;
    if (prior == &HmmHyperparameters::duration_concentration) large = options;
    large.*prior = 1e308;
    EXPECT_NE(Refusal(large).find(": got 1e+308, must be at most 1e+100"), std::string::npos);
    large.*prior = 1e100;
    EXPECT_EQ(Refusal(large), "");
  }
}

TEST(Durations, AMaximisationStopsWhenAskedTo) {
  for (const DurationKind kind : {DurationKind::kPoisson, DurationKind::kNegativeBinomial}) {
    const Durations durations(kind, 1, 50, 1);
    const std::vector<double> counts(50, 1.0);
    std::vector<double> now(durations.parameters().size(), 2.0);
    std::vector<double> next(now.size());
    std::stop_source stop;
    EXPECT_TRUE(durations.Maximize(counts, now, next, stop.get_token()).ok());
    EXPECT_GT(next[0], 2);
    stop.request_stop();
    EXPECT_TRUE(absl::IsCancelled(durations.Maximize(counts, now, next, stop.get_token())));
  }
}

// Behind the terms that a double holds all are impossible, as far as max_duration reaches.
TEST(Durations, OfALongRangeAreThoseOfAShortOne) {
  for (const DurationKind kind : {DurationKind::kPoisson, DurationKind::kNegativeBinomial}) {
    const Durations longest(kind, 1, 100000, 1);
    const Durations shorter(kind, 1, 20000, 1);
    const std::vector<double> params = {40, 0.5};
    const auto given = std::span(params).first(longest.parameters().size());
    std::vector<double> logs(100000);
    std::vector<double> few(20000);
    longest.LogProbabilities(given, logs);
    shorter.LogProbabilities(given, few);
    double sum = 0;
    for (size_t d = 0; d < few.size(); ++d) {
      EXPECT_EQ(logs[d], few[d]) << d;
      sum += std::exp(logs[d]);
    }
    EXPECT_NEAR(sum, 1, 1e-12);
    for (size_t d = few.size(); d < logs.size(); ++d) ASSERT_TRUE(std::isinf(logs[d])) << d;
  }
}

// What no row can show is no place to start from.
TEST(Durations, StartNoLongerThanTheRowsCanShow) {
  const Durations durations(DurationKind::kPoisson, 2, 30000, 1);
  std::vector<double> params(2);
  durations.Reference(90, params);
  EXPECT_EQ(params, (std::vector<double>{30, 30}));
  durations.Reference(1000000, params);
  EXPECT_EQ(params, (std::vector<double>{10000, 10000}));
}

}  // namespace
}  // namespace emserve::testing
