// One sequence under a chain, drawn at random, all its paths one by one, and the recursions on it:
// plain and in numbers of wide range.
#ifndef EMSERVE_TESTS_CORE_MARKOV_PROBLEM_H_
#define EMSERVE_TESTS_CORE_MARKOV_PROBLEM_H_

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/numerics/markov.h"
#include "core/numerics/markov_wide.h"
#include "core/runtime/random.h"
#include "gtest/gtest.h"
#include "tests/core/chain_data.h"

namespace emserve::testing {

inline std::vector<double> Logs(std::vector<double> values) {
  for (double& value : values) value = std::log(value);
  return values;
}

// One sequence under a chain, all of it drawn at random: with some transitions and durations that
// do not exist if `zeros`, and a semi-Markov chain if `max_duration` is above 1.
struct Problem {
  Problem(int num_states, int num_rows, bool zeros, int max_duration, uint64_t seed)
      : K(num_states), T(num_rows), D(max_duration) {
    Random random(seed, 0);
    const auto draw = [&](int size, int kept) {
      std::vector<double> shares;
      double sum = 0;
      for (int j = 0; j < size; ++j) {
        const bool gone = zeros && j != kept && random.Uniform() < 0.4;
        shares.push_back(gone ? 0 : random.Uniform() + 0.01);
        sum += shares.back();
      }
      for (double& share : shares) share /= sum;
      return shares;
    };
    initial = draw(K, 0);
    for (int i = 0; i < K; ++i) {
      const std::vector<double> row = draw(K, i);
      transitions.insert(transitions.end(), row.begin(), row.end());
    }
    for (int k = 0; k < K && D > 1; ++k) {
      const std::vector<double> row = draw(D, D - 1);
      durations.insert(durations.end(), row.begin(), row.end());
    }
    for (int t = 0; t < T * K; ++t) likelihood.push_back(random.Uniform() + 1e-3);
    TakeLogarithms();
  }

  void TakeLogarithms() {
    log_initial = Logs(initial);
    log_transitions = Logs(transitions);
    log_durations = Logs(durations);
    log_likelihood = Logs(likelihood);
  }

  MarkovChain chain() const {
    return {K, initial.data(), transitions.data(), D, D > 1 ? durations.data() : nullptr};
  }
  MarkovChain log_chain() const {
    return {K, log_initial.data(), log_transitions.data(), D,
            D > 1 ? log_durations.data() : nullptr};
  }
  ChainRows rows() const { return {.num_rows = T, .first_begins = true}; }
  int hidden() const { return K * D; }
  size_t cells() const { return static_cast<size_t>(hidden()) * T; }

  // The Markov chain of states with what is left of them that a semi-Markov chain is.
  AllPaths Enumerate(int first, int count) const {
    const int M = hidden();
    std::vector<double> start(M);
    std::vector<double> steps(static_cast<size_t>(M) * M);
    for (int h = 0; h < M; ++h) {
      const double lasting = D > 1 ? durations[h] : 1;
      start[h] = initial[h / D] * lasting;
      for (int i = 0; i < K; ++i) steps[i * D * M + h] = transitions[i * K + h / D] * lasting;
      if (h % D > 0) steps[h * M + h - 1] = 1;
    }
    std::vector<std::vector<double>> density;
    for (int t = first; t < first + count; ++t) {
      density.emplace_back();
      for (int h = 0; h < M; ++h) density.back().push_back(likelihood[t * K + h / D]);
    }
    return AllPaths(density, start, steps);
  }

  // What is counted in pairs, given the expected steps of Enumerate.
  std::vector<double> Counts(const std::vector<double>& steps) const {
    const int M = hidden();
    std::vector<double> counts(K * K + durations.size());
    for (int i = 0; i < K; ++i) {
      for (int h = 0; h < M; ++h) {
        const double entered = steps[i * D * M + h];
        counts[i * K + h / D] += entered;
        if (D > 1) counts[K * K + h] += entered;
      }
    }
    return counts;
  }
  // The same of pairs as the functions have them.
  std::vector<double> CountsOfPairs(std::vector<double> pairs) const {
    for (int j = 0; j < K * K; ++j) pairs[j] *= transitions[j];
    for (size_t j = 0; j < durations.size(); ++j) pairs[K * K + j] *= durations[j];
    return pairs;
  }

  int K, T, D;
  std::vector<double> initial, transitions, durations;
  std::vector<double> log_initial, log_transitions, log_durations;
  std::vector<double> likelihood, log_likelihood;  // [T, K]
};

struct Smoothed {
  explicit Smoothed(const Problem& p)
      : filtered(p.cells()), pairs(static_cast<size_t>(p.K) * p.K + p.durations.size()) {}
  double log_likelihood = 0;
  std::vector<double> filtered, smoothed, pairs;
};

inline Smoothed Plain(const Problem& p, ChainRows rows, const double* weights = nullptr) {
  Smoothed result(p);
  std::vector<double> normaliser(p.T);
  std::vector<double> scratch(p.chain().num_scratch());
  EXPECT_TRUE(ForwardFilter(p.chain(), rows, p.likelihood.data(), p.log_likelihood.data(), false,
                            result.filtered.data(), normaliser.data()));
  for (const double n : normaliser) result.log_likelihood += std::log(n);
  result.smoothed = result.filtered;
  EXPECT_TRUE(BackwardSmooth(p.chain(), rows, p.likelihood.data(), normaliser.data(), weights,
                             result.smoothed.data(), result.pairs.data(), scratch.data()));
  return result;
}

// A problem as the functions for numbers of wide range take it.
struct Widened {
  explicit Widened(const Problem& p)
      : chain(p.K, p.D, p.D > 1),
        likelihood(p.log_likelihood.size()),
        exponent(likelihood.size()),
        filtered(p.cells()),
        filtered_exponent(p.cells()),
        normaliser(p.T),
        scratch(chain.num_scratch()) {
    chain.Assign(p.chain(), p.log_chain());
    WideExps(p.log_likelihood.data(), p.likelihood.data(), static_cast<int64_t>(likelihood.size()),
             {likelihood.data(), exponent.data()});
  }

  ConstWides of_rows() const { return {likelihood.data(), exponent.data()}; }
  Wides scores() { return {filtered.data(), filtered_exponent.data()}; }
  void Forward(const ChainRows& rows) {
    WideForward(chain, rows, of_rows(), scores(), normaliser.data(), scratch.data());
  }

  WideChain chain;
  std::vector<double> likelihood, exponent;
  std::vector<double> filtered, filtered_exponent;
  std::vector<double> normaliser, scratch;
};

inline Smoothed InWide(const Problem& p, ChainRows rows, const double* weights = nullptr) {
  Smoothed result(p);
  Widened wide(p);
  wide.Forward(rows);
  for (const double n : wide.normaliser) result.log_likelihood += n;
  for (size_t j = 0; j < p.cells(); ++j) result.filtered[j] = ToDouble(wide.scores()[j]);
  WideSmooth(wide.chain, rows, wide.of_rows(), weights, wide.scores(), result.pairs.data(),
             wide.scratch.data());
  result.smoothed = wide.filtered;
  return result;
}

inline void ExpectNear(const std::vector<double>& a, const std::vector<double>& b,
                       double tolerance) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], tolerance) << i;
}

}  // namespace emserve::testing

#endif  // EMSERVE_TESTS_CORE_MARKOV_PROBLEM_H_
