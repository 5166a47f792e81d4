// An emission under test, bare and inside a mixture, without a line in the list of families.
#ifndef EMSERVE_TESTS_CORE_EMISSION_SUBJECT_H_
#define EMSERVE_TESTS_CORE_EMISSION_SUBJECT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "core/distribution/emission.h"
#include "core/em/fit.h"
#include "core/em/scratch.h"
#include "core/latent/mixture.h"
#include "gtest/gtest.h"
#include "tests/core/laws.h"
#include "tests/core/test_data.h"

namespace emserve::testing {

inline std::vector<std::string> Names(int num_columns) {
  std::vector<std::string> names;
  for (int c = 0; c < num_columns; ++c) names.push_back(absl::StrCat("x", c));
  return names;
}

using MakeEmission = std::function<absl::StatusOr<std::unique_ptr<Emission>>(
    const Summary& summary, const std::vector<std::string>& names)>;

// A mixture of the emission, with the table it was made for.
inline Subject MixtureOf(const MakeEmission& make, const Data& data,
                         const MixtureHyperparameters& hyperparameters = {}) {
  Table table = data.ToTable();
  Summary summary = SummaryOf(table);
  auto emission = make(summary, Names(data.num_columns));
  EXPECT_TRUE(emission.ok()) << emission.status();
  auto model = MakeMixture(*std::move(emission), hyperparameters);
  EXPECT_TRUE(model.ok()) << model.status();
  return {std::move(table), std::move(summary), *std::move(model)};
}

inline absl::StatusOr<FitResult> FitSubject(const Subject& subject, const FitOptions& options) {
  Pool pool(1);
  Pool::Share share(pool);
  RunOptions run;
  run.share = &share;
  return Fit(*subject.model, subject.table, subject.summary, options, run);
}

// The emission with everything that one block needs.
class EmissionOnBlock {
 public:
  EmissionOnBlock(const MakeEmission& make, const Data& data)
      : table(data.ToTable()),
        summary(SummaryOf(table)),
        names(Names(data.num_columns)),
        emission(make(summary, names).value()),
        prepared(emission->NewPrepared()),
        workspace(emission->NewWorkspace(static_cast<int>(data.num_rows()))),
        buffer(table.MakeBuffer(static_cast<int>(data.num_rows()))),
        block(table.Read(0, static_cast<int>(data.num_rows()), buffer)) {}

  void Prepare(const Theta& params) { ASSERT_TRUE(emission->Prepare(params, *prepared).ok()); }

  // [K x stride]
  std::vector<double> LogDensity() {
    const Scratch out(static_cast<int64_t>(emission->num_components()) * block.stride);
    emission->LogDensity(*prepared, block, *workspace, Span(out));
    return {out.data(), out.data() + out.size()};
  }

  std::vector<double> Accumulate(const std::vector<double>& resp) {
    const Scratch aligned(static_cast<int64_t>(resp.size()));
    std::copy(resp.begin(), resp.end(), aligned.data());
    std::vector<double> stats(emission->statistics().size());
    emission->Accumulate(*prepared, block, Span(aligned), *workspace, stats);
    return stats;
  }

  // All rows, row i to component rows[i]; [K x stride], times the rows' weights.
  std::vector<double> Assigned(const std::vector<int>& rows) const {
    std::vector<double> resp(static_cast<size_t>(emission->num_components()) * block.stride);
    for (size_t i = 0; i < rows.size(); ++i) {
      resp[static_cast<size_t>(rows[i]) * block.stride + i] = block.weights[i];
    }
    return resp;
  }

  Theta Maximize(const Theta& params, const std::vector<double>& occupancy,
                 const std::vector<double>& stats, std::vector<Repair>* repairs = nullptr) const {
    Theta next(params.size());
    std::vector<Repair> made;
    const absl::Status status = emission->Maximize(params, occupancy, stats, next, {made, {}});
    EXPECT_TRUE(status.ok()) << status;
    if (repairs != nullptr) *repairs = made;
    return next;
  }

  std::string RowError() const { return std::string(Check().message()); }
  absl::Status Check() const { return emission->CheckRows(block, names); }

  // The status of taking over constraints; call once.
  absl::Status Constrain(const ConstraintOptions& options) {
    absl::StatusOr<Constraints> constraints = Constraints::Make(emission->parameters(), options);
    if (!constraints.ok()) return constraints.status();
    return emission->Constrain(*std::move(constraints));
  }

  static std::span<double> Span(const Scratch& scratch) {
    return {scratch.data(), static_cast<size_t>(scratch.size())};
  }

  const Table table;
  const Summary summary;
  const std::vector<std::string> names;
  const std::unique_ptr<Emission> emission;
  const std::unique_ptr<Emission::Prepared> prepared;
  const std::unique_ptr<Emission::Workspace> workspace;
  BlockBuffer buffer;
  const Block block;
};

// The laws of laws.h that need no list of families, from a theta away from symmetry.
inline void ExpectLaws(const Subject& subject, const Data& data) {
  Theta theta = RandomTheta(*subject.model, subject.table, subject.summary, 1);
  for (int i = 0; i < 3; ++i) theta = OneIteration(*subject.model, subject.table, theta);
  EXPECT_TRUE(subject.model->Validate(theta).ok()) << subject.model->Validate(theta);
  EXPECT_TRUE(ObjectiveNeverDecreases(*subject.model, subject.table, theta, 60));
  EXPECT_TRUE(StatisticsAddUp(*subject.model, subject.table, theta));
  EXPECT_TRUE(MaximizationMaximizesQ(*subject.model, subject.table, subject.summary, theta));
  EXPECT_TRUE(WeightsAreMultiplicities(*subject.model, data, theta));
  EXPECT_TRUE(RelabellingRelabels(*subject.model, subject.table, theta));
  EXPECT_TRUE(TruthIsBeaten(*subject.model, theta, 900));
  EXPECT_TRUE(ThreadsDoNotChangeBits(*subject.model, subject.table, subject.summary));
  EXPECT_TRUE(EStepDoesNotAllocate(*subject.model, subject.table, theta));
  // Unconstrained coordinates lead back.
  Theta coordinates(theta.size());
  Theta back(theta.size());
  subject.model->ToUnconstrained(theta, coordinates);
  subject.model->FromUnconstrained(coordinates, theta, back);
  for (size_t i = 0; i < theta.size(); ++i) EXPECT_NEAR(back[i], theta[i], 1e-12 * (1 + theta[i]));
  // Accelerated climbs reach what plain ones reach.
  FitOptions options;
  options.start = StartMethod::kGiven;
  options.given = theta;
  options.restarts = 1;
  options.relative_tolerance = 1e-13;
  options.max_iterations = 20000;
  const auto plain = FitSubject(subject, options);
  options.acceleration = Acceleration::kSquarem;
  const auto fast = FitSubject(subject, options);
  ASSERT_TRUE(plain.ok() && fast.ok()) << plain.status() << fast.status();
  EXPECT_GE(fast->objective, plain->objective - 1e-6 * (1 + std::abs(plain->objective)));
  // The law compares log-likelihoods, which a prior keeps from being stationary.
  if (subject.model->LogPrior(plain->theta) == 0) {
    EXPECT_TRUE(ConvergedIsFixedPoint(*subject.model, subject.table, plain->theta))
        << plain->best.message << ", " << plain->best.iterations;
  }
}

// Statistics expected under `params` give them back, and `other` explains them worse; centred on
// `other` they say the same to a relative `rounding`.
inline void ExpectExpectedStatisticsGiveParametersBack(const Emission& emission,
                                                       const Theta& params, const Theta& other,
                                                       double rounding = 1e-11) {
  const std::vector<double> occupancy(emission.num_components(), 50.0);
  std::vector<double> stats(emission.statistics().size());
  emission.ExpectedStatistics(params, occupancy, stats);
  Theta next(params.size());
  std::vector<Repair> repairs;
  ASSERT_TRUE(emission.Maximize(params, occupancy, stats, next, {repairs, {}}).ok());
  for (size_t i = 0; i < params.size(); ++i) {
    EXPECT_NEAR(next[i], params[i], 1e-9 * (1 + std::abs(params[i]))) << i;
  }
  const double best = emission.ExpectedLogDensity(params, occupancy, stats, params);
  EXPECT_GT(best, emission.ExpectedLogDensity(params, occupancy, stats, other));
  std::vector<double> moved = stats;
  emission.Recenter(params, other, occupancy, moved);
  ASSERT_TRUE(emission.Maximize(other, occupancy, moved, next, {repairs, {}}).ok());
  for (size_t i = 0; i < params.size(); ++i) {
    EXPECT_NEAR(next[i], params[i], rounding * (1 + std::abs(params[i]))) << i;
  }
  EXPECT_NEAR(emission.ExpectedLogDensity(other, occupancy, moved, params) -
                  emission.ExpectedLogDensity(other, occupancy, moved, other),
              best - emission.ExpectedLogDensity(params, occupancy, stats, other),
              rounding * (1 + std::abs(best)));
}

}  // namespace emserve::testing

#endif  // EMSERVE_TESTS_CORE_EMISSION_SUBJECT_H_
