// Hidden Markov model: rows follow each other in time, and the hidden state of each depends on that
// of the row before it.
#ifndef EMSERVE_CORE_LATENT_HMM_H_
#define EMSERVE_CORE_LATENT_HMM_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "core/distribution/emission.h"
#include "core/em/constraints.h"
#include "core/em/durations.h"
#include "core/em/model.h"

namespace emserve {

// Which transitions there are.
enum class TransitionPattern {
  kFull,
  kLeftRight,  // to the state itself and to later ones
  kStepwise,   // to the state itself and to the next one; the last one is for good
};

// How sequences begin.
enum class InitialDistribution {
  kFree,        // estimated, but for constraints
  kStationary,  // as the chain goes on: in the stationary distribution of the transitions
};

// More are mistakes: their transitions would fill a computer.
inline constexpr int kMaxStates = 10000;

struct HmmHyperparameters {
  InitialDistribution initial = InitialDistribution::kFree;
  TransitionPattern transitions = TransitionPattern::kFull;
  // [K, K] whether there is a transition, row-major; empty: as the pattern says. Every row has one.
  std::vector<char> allowed_transitions;
  // Symmetric Dirichlet priors on the initial distribution, if it is free, and on every row of
  // transitions, >= 1; 1: none. Transitions that there are not have no part in them.
  double initial_concentration = 1;
  double transition_concentration = 1;
  // Added to the concentrations of the transitions from every state to itself, >= 0: above 0
  // states last longer (Fox, Sudderth, Jordan & Willsky 2011).
  double stickiness = 0;
  // How long states last; all but geometric make the chain semi-Markov: a state is left for another
  // one when its time is up, which is drawn, up to max_duration steps, when it is entered. What the
  // end of a sequence cuts off counts as cut off.
  DurationKind durations = DurationKind::kGeometric;
  int max_duration = 0;                // >= 1 with durations, 0 without
  double duration_concentration = 1;   // as the others, of every state's free durations
  ConstraintOptions constraints = {};  // on initial, transitions and the emission's parameters
  // For a model that is asked for its layouts and its rows' checks only: nothing of the size of the
  // transitions is made. Those that there are not count as if there were.
  bool shape_only = false;
};

// Parameters: initial [K], transitions [K, K] from row to column, what Durations has, then the
// emission's. Statistics: occupancy [K], initial_counts [K], transition_counts [K, K], with
// durations duration_counts [K, D], then the emission's.
//
// A row without an observed cell is a step whose state is as hidden as any; a row's weight w counts
// it as observed w times in its one state, a sequence's as so many sequences. States' densities
// are of Baum, Petrie, Soules & Weiss (1970); E-steps by forward filtering and backward smoothing,
// exact for any length of sequence. Hard assignments are Viterbi's paths, sampled ones whole paths.
// An E-step is O(rows x (K^2 + K D + emission)). Semi-Markov: Guedon (2003), Yu (2010).
//
// A stationary initial distribution asks that every state can reach every other.
//
// InvalidArgument: "initial", "initial_concentration", "transition_concentration", "stickiness",
// "max_duration", "duration_concentration", "allowed_transitions: got ..., must be ..." or
// "constraints...: got ...", also for an option of what the model does not have.
absl::StatusOr<std::unique_ptr<Model>> MakeHmm(std::unique_ptr<Emission> emission,
                                               const HmmHyperparameters& hyperparameters = {});

}  // namespace emserve

#endif  // EMSERVE_CORE_LATENT_HMM_H_
