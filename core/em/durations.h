// How long a semi-Markov chain stays in its states.
#ifndef EMSERVE_CORE_EM_DURATIONS_H_
#define EMSERVE_CORE_EM_DURATIONS_H_

#include <cstdint>
#include <span>
#include <stop_token>
#include <vector>

#include "absl/status/status.h"
#include "core/em/constraints.h"
#include "core/em/layout.h"
#include "core/em/simplex_rows.h"

namespace emserve {

enum class DurationKind {
  kGeometric,         // the chain is a Markov chain: staying is a transition
  kFree,              // any probabilities
  kPoisson,           // duration - 1 is Poisson
  kNegativeBinomial,  // duration - 1 is negative binomial
};

// Distributions on 1, 2, ... D steps, one per state; those of a kind are cut off behind D.
// Immutable but for Constrain. Parameters, by kind: durations [K, D]; duration_rates [K];
// duration_means [K] and duration_sizes [K]. Rates and means are of duration - 1 before the cut;
// they and sizes are positive.
class Durations {
 public:
  // `concentration` >= 1 of a symmetric Dirichlet prior on free probabilities, 1: none.
  // Preconditions: a kind but geometric, max_duration >= 1.
  Durations(DurationKind kind, int num_states, int max_duration, double concentration);

  const Layout& parameters() const { return parameters_; }
  // Free parameters of the states that are `active`, [K]; what states share counts once.
  int64_t num_free(const std::vector<bool>& active) const;

  // Over parameters(). InvalidArgument "constraints: got ..., must be ...": what SimplexRows cannot
  // keep; ties of means or sizes; values out of range.
  absl::Status Constrain(const Constraints& constraints);

  absl::Status Validate(std::span<const double> params) const;

  // Logarithms of the probabilities [K, D]; below 1e-100 they count as impossible.
  void LogProbabilities(std::span<const double> params, std::span<double> log_probabilities) const;

  // Mean number of steps [K], by LogProbabilities.
  std::vector<double> Means(std::span<const double> params) const;

  // next = argmax sum_kd counts_kd log p_k(d) + LogPrior, counts [K, D]; states without counts stay
  // as they are `now`. O(K D) times the steps of a search. Cancelled soon after `stop` is
  // requested.
  absl::Status Maximize(std::span<const double> counts, std::span<const double> now,
                        std::span<double> next, const std::stop_token& stop) const;

  double LogPrior(std::span<const double> params) const;
  // Even probabilities, or means of a third of the longest, as far as so many rows can show one.
  void Reference(int64_t num_rows, std::span<double> params) const;
  void ToCoordinates(std::span<const double> params, std::span<double> coordinates) const;
  void FromCoordinates(std::span<const double> coordinates, std::span<double> params) const;

 private:
  // Of the numbers of one state, up to a constant: sum_d counts_d log p(d). `log_p` [D] is written.
  double Score(const double* counts, double mean, double size, double* log_p) const;
  void LogProbabilitiesOf(double mean, double size, double* log_p) const;

  const DurationKind kind_;
  const int num_states_;
  const int max_duration_;
  Layout parameters_;
  SimplexRows free_;
  Constraints constraints_;
};

}  // namespace emserve

#endif  // EMSERVE_CORE_EM_DURATIONS_H_
