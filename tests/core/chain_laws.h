// Laws of models whose rows depend on those before them, as matchers: beside those of laws.h, which
// a table of one block puts to a chain too. Each is shown to fail in hmm_laws_test.cc.
#ifndef EMSERVE_TESTS_CORE_CHAIN_LAWS_H_
#define EMSERVE_TESTS_CORE_CHAIN_LAWS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "core/em/model.h"
#include "gtest/gtest.h"
#include "tests/core/chain_data.h"
#include "tests/core/laws.h"

namespace emserve::testing {

struct Pass {
  double log_likelihood = 0;
  std::vector<double> statistics;
};

// RandomTheta with how states follow each other random too; what is 0 stays 0.
Theta RandomChainTheta(const Model& model, const Table& table, const Summary& summary,
                       uint64_t seed);

// An E-step over blocks of `block_rows` rows, with their messages; of all rows in one where 0.
Pass RunBlocks(const Model& model, const Table& table, const Theta& theta,
               const Assignment& assignment = {}, int block_rows = 0);

::testing::AssertionResult SamePass(const Pass& a, const Pass& b, const std::string& what);

// A pass over blocks with messages is the pass over one block, for posteriors, tempered ones and
// the best path; for a drawn one its log-likelihood is, as the draws themselves need not be.
::testing::AssertionResult BlocksLeaveNoTrace(const Model& model, const Table& table,
                                              const Theta& theta);

// Counts of paths drawn in blocks are on average those of posteriors, within 5 standard errors.
::testing::AssertionResult DrawsHaveTheirPosterior(const Model& model, const Table& table,
                                                   const Theta& theta);

// The pass over a table is the sum of those over its sequences, in any order.
::testing::AssertionResult SequencesAddUp(const Model& model, const ChainData& data,
                                          const Theta& theta);

// A sequence of weight 2 counts as the sequence twice, one of weight 0 not at all, whatever is in
// it, in posteriors and in best paths.
::testing::AssertionResult SequenceWeightsAreMultiplicities(const Model& model,
                                                            const ChainData& data,
                                                            const Theta& theta);

// [K, D] logarithms of the durations' probabilities; empty for a Markov chain.
std::vector<double> LogDurations(const Model& model, const Theta& theta);

// Log-likelihood, posteriors, filtered ones and statistics, and the best path's density, are those
// of all paths one by one, where state k of row i has the density p(x_i | k)^weight x plausibility.
::testing::AssertionResult AgreesWithAllPaths(const Model& model, const Table& table,
                                              const Theta& theta);

// Q(MStep(theta) | theta) is at least Q at theta; with `closed_form` also at steps from the
// maximiser along lines to random parameters, both ways.
::testing::AssertionResult ChainMaximizesQ(const Model& model, const Table& table,
                                           const Summary& summary, const Theta& theta,
                                           bool closed_form);

// The derivative of log-likelihood and prior at theta is that of Q(. | theta) (Fisher's identity),
// along lines to random parameters.
::testing::AssertionResult ScoreIsThatOfQ(const Model& model, const Table& table,
                                          const Summary& summary, const Theta& theta);

// State k of the result is state permutation[k] of `theta`.
Theta Relabelled(const Model& model, const Theta& theta, const std::vector<int>& permutation);

// Iterations from a start with its states in another order give the result in that order.
::testing::AssertionResult RelabellingRelabelsStates(const Model& model, const Table& table,
                                                     const Theta& theta, double tolerance = 1e-8);

// Sequences of these lengths, drawn from the model.
ChainData Drawn(const Model& model, const Theta& theta, std::vector<int64_t> lengths,
                uint64_t seed);

// A fit that starts at the parameters that made its sequences ends at least as high as they are.
::testing::AssertionResult TruthOfAChainIsBeaten(const Model& model, const Theta& truth);

// Sequences of one row, and a Markov chain whose every row of transitions is the initial
// distribution, are the mixture with those weights: log-likelihood, occupancy and the emission's
// statistics.
::testing::AssertionResult IsTheMixtureWithoutMemory(const Model& chain, const Model& mixture,
                                                     const ChainData& data, const Theta& theta);

}  // namespace emserve::testing

#endif  // EMSERVE_TESTS_CORE_CHAIN_LAWS_H_
