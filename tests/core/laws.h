// Laws that every model must keep, as matchers: each returns success or says what broke.
//
// They know a model by its contract only, so a new family is put under all of them by one more case
// in laws_test.cc, where each law is also shown to fail on a model that breaks it.
#ifndef EMSERVE_TESTS_CORE_LAWS_H_
#define EMSERVE_TESTS_CORE_LAWS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/em/fit.h"
#include "core/em/model.h"
#include "core/families.h"
#include "gtest/gtest.h"
#include "tests/core/test_data.h"

namespace emserve::testing {

using Theta = std::vector<double>;
using FitFunction = std::function<absl::StatusOr<FitResult>(const Data& data)>;

// A model with the table it was made for.
struct Subject {
  Table table;
  Summary summary;
  std::unique_ptr<Model> model;
};
Subject MakeSubject(const ModelOptions& options, Table table);
inline Subject MakeSubject(const ModelOptions& options, const Data& data) {
  return MakeSubject(options, data.ToTable());
}

// Summarize, MakeModel and Fit with `num_threads`.
absl::StatusOr<FitResult> FitTable(const ModelOptions& options, const Table& table,
                                   const FitOptions& fit_options, int num_threads = 1);
inline absl::StatusOr<FitResult> FitData(const ModelOptions& options, const Data& data,
                                         const FitOptions& fit_options, int num_threads = 1) {
  return FitTable(options, data.ToTable(), fit_options, num_threads);
}
absl::StatusOr<FitResult> FitModel(const Model& model, const Table& table, const Summary& summary,
                                   const FitOptions& options, int num_threads = 1);

// |a - b| is at most `tolerance` of the larger of |a|, |b| and a thousandth of the largest |b|.
::testing::AssertionResult AllNear(std::span<const double> a, std::span<const double> b,
                                   double tolerance, const std::string& what);

// Parameters from random responsibilities: valid, far from any optimum, different for each seed.
Theta RandomTheta(const Model& model, const Table& table, const Summary& summary, uint64_t seed);

// sum_i w_i log p(x_i | theta), by Infer and not by the E-step.
double LogLikelihood(const Model& model, const Table& table, const Theta& theta);

// log p(x_i | theta) of every row, by Infer.
std::vector<double> LogDensities(const Model& model, const Table& table, const Theta& theta);

// One E-step over the table and one M-step.
Theta OneIteration(const Model& model, const Table& table, const Theta& theta);

// The objective never goes down by more than rounding in `iterations` iterations from `theta`.
::testing::AssertionResult ObjectiveNeverDecreases(const Model& model, const Table& table,
                                                   const Theta& theta, int iterations);

// Log-likelihood and statistics are the same however the rows are cut and in whatever order.
::testing::AssertionResult StatisticsAddUp(const Model& model, const Table& table,
                                           const Theta& theta);

// Q(MStep(theta) | theta) is at least Q at theta and at steps from the maximiser along lines to
// random parameters, both ways.
::testing::AssertionResult MaximizationMaximizesQ(const Model& model, const Table& table,
                                                  const Summary& summary, const Theta& theta);

// q(best) is at least q at `theta`, and at the given steps from `best` along lines to each of
// `others`. O(1) evaluations of q each.
::testing::AssertionResult IsHighest(const Model& model,
                                     const std::function<double(const Theta&)>& q,
                                     const Theta& best, const Theta& theta,
                                     const std::vector<Theta>& others,
                                     const std::vector<double>& steps);

// Q(MStep(theta) | theta) is at least Q at theta: for maximisations without a closed form.
::testing::AssertionResult MaximizationRaisesQ(const Model& model, const Table& table,
                                               const Theta& theta);

// A row of weight 2 counts as the row twice, one of weight 0 not at all, whatever is in it.
::testing::AssertionResult WeightsAreMultiplicities(const Model& model, const Data& data,
                                                    const Theta& theta);

// Iterations from a start with its components reversed give the result with its components
// reversed.
::testing::AssertionResult RelabellingRelabels(const Model& model, const Table& table,
                                               const Theta& theta);

// A fit that starts at the parameters that made its data ends at least as high as they are.
// A fit that starts at the `truth` that has made the table ends with a higher likelihood.
::testing::AssertionResult TruthIsBeatenOn(const Model& model, const Table& table,
                                           const Theta& truth);
::testing::AssertionResult TruthIsBeaten(const Model& model, const Theta& truth, int64_t num_rows);

// An iteration from converged parameters moves neither them nor the objective.
::testing::AssertionResult ConvergedIsFixedPoint(const Model& model, const Table& table,
                                                 const Theta& converged);

// Each parameter of `back` is that of `theta` within `tolerance` x (1 + its size).
::testing::AssertionResult ComeBack(const Theta& theta, const Theta& back, double tolerance);

// The maximiser of what `theta` leads to expect of 4321 observations in 7 sequences.
Theta OfExpectedStatistics(const Model& model, const Theta& theta);

// Parameters come back from their unconstrained coordinates.
::testing::AssertionResult CoordinatesGoThereAndBack(const Model& model, const Theta& theta);

// Fits with Squarem and Anderson end about as high as the plain one, and no objective falls.
::testing::AssertionResult AccelerationReachesThePlainOptimum(
    const std::function<absl::StatusOr<FitResult>(Acceleration acceleration)>& fit);

// Fits with 1, 2 and 7 threads agree in every bit, restarts and all.
::testing::AssertionResult ThreadsDoNotChangeBits(const Model& model, const Table& table,
                                                  const Summary& summary);

// Passes after the first do not touch the heap.
::testing::AssertionResult EStepDoesNotAllocate(const Model& model, const Table& table,
                                                const Theta& theta);

// Infinities anywhere fail the fit with a message that names the row.
::testing::AssertionResult NonFiniteRowsAreRejected(const FitFunction& fit, const Data& data);

// Weights of another unit, `data` without weights times each of `factors`, change neither the
// iterations of a restart nor, beyond 1e-9 relative, the parameters.
::testing::AssertionResult WeightsHaveNoUnit(const FitFunction& fit, const Data& data,
                                             const std::vector<double>& factors);

// Fitting scale[d] x + shift[d] gives the same objective but for the volume, -n sum_d log scale[d].
::testing::AssertionResult FitIsEquivariant(const FitFunction& fit, const Data& data,
                                            const std::vector<double>& scale,
                                            const std::vector<double>& shift);

}  // namespace emserve::testing

#endif  // EMSERVE_TESTS_CORE_LAWS_H_
