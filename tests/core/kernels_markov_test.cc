#include "core/numerics/kernels_markov.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "core/em/scratch.h"
#include "core/runtime/random.h"

namespace emserve {
namespace {

using Matrix = std::vector<std::vector<double>>;

constexpr double kTolerance = 1e-12;

// A chain and likelihoods of some rows, with the same recursions as written in textbooks.
class Case {
 public:
  Case(int num_states, int num_rows, uint64_t seed)
      : num_states_(num_states),
        num_rows_(num_rows),
        from_row_(static_cast<int64_t>(num_states) * PaddedStates(num_states)),
        from_column_(from_row_.size()),
        start_(PaddedStates(num_states)),
        likelihood_(static_cast<size_t>(num_rows) * num_states + kStatePad) {
    Random random(seed, 0);
    a_ = Matrix(num_states, std::vector<double>(num_states));
    for (int i = 0; i < num_states; ++i) {
      for (double& p : a_[i]) p = random.Uniform() < 0.3 ? 0 : random.Uniform();
      a_[i][(i + 1) % num_states] += 0.1;
      const double sum = std::accumulate(a_[i].begin(), a_[i].end(), 0.0);
      for (int j = 0; j < num_states; ++j) {
        a_[i][j] /= sum;
        from_row_[static_cast<int64_t>(i) * PaddedStates(num_states) + j] = a_[i][j];
        from_column_[static_cast<int64_t>(j) * PaddedStates(num_states) + i] = a_[i][j];
      }
      start_[i] = 1.0 / num_states;
    }
    for (double& value : likelihood_) value = random.Uniform();
    for (int i = 0; i < num_states; ++i) before_.push_back(1.0 / num_states);
  }

  PaddedChain chain() const {
    return {num_states_, from_row_.data(), from_column_.data(), start_.data()};
  }
  double l(int t, int k) const { return likelihood_[static_cast<size_t>(t) * num_states_ + k]; }

  // What rows from `first` on say of the row before them, [K].
  std::vector<double> Behind(int first, const std::vector<double>& of_end) const {
    std::vector<double> behind = of_end;
    for (int t = num_rows_ - 1; t >= first; --t) {
      std::vector<double> next(num_states_);
      for (int i = 0; i < num_states_; ++i) {
        for (int j = 0; j < num_states_; ++j) next[i] += a_[i][j] * l(t, j) * behind[j];
      }
      behind = next;
    }
    return behind;
  }
  // p(rows up to t, k at t), [K].
  std::vector<double> Ahead(int t, bool continues) const {
    std::vector<double> now(num_states_);
    for (int s = 0; s <= t; ++s) {
      std::vector<double> next(num_states_);
      for (int j = 0; j < num_states_; ++j) {
        if (s == 0 && !continues) next[j] = start_[j];
        const std::vector<double>& from = s == 0 ? before_ : now;
        for (int i = 0; (s > 0 || continues) && i < num_states_; ++i) next[j] += from[i] * a_[i][j];
        next[j] *= l(s, j);
      }
      now = next;
    }
    return now;
  }

  int num_states_;
  int num_rows_;
  Matrix a_;
  Scratch from_row_, from_column_, start_;
  std::vector<double> likelihood_;  // [rows, K]
  std::vector<double> before_;      // [K]
};

double Total(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

// Numbers of states around every width of a vector, and more than one tile.
class KernelsMarkovTest : public testing::TestWithParam<int> {};

TEST_P(KernelsMarkovTest, FilterSmoothAndPairsAreThoseOfTheDefinition) {
  const int size = GetParam();
  for (const bool continues : {false, true}) {
    for (const bool ends : {false, true}) {
      constexpr int kRows = 6;
      const Case of(size, kRows, 7 + size);
      std::vector<double> filtered(kRows * size + kStatePad), smoothed(filtered.size());
      std::vector<double> normaliser(kRows);
      ASSERT_TRUE(FilterRows(of.chain(), kRows, continues ? of.before_.data() : nullptr,
                             of.start_.data(), of.likelihood_.data(), nullptr, filtered.data(),
                             normaliser.data()));
      std::vector<double> of_end(size, 1.0);
      Scratch behind(PaddedStates(size));
      for (int k = 0; k < size; ++k) behind[k] = of_end[k] = ends ? 1 : 0.1 + k % 3;
      if (ends) behind[0] = 77;  // is not read
      Scratch ahead(static_cast<int64_t>(kRows) * PaddedStates(size));
      ASSERT_TRUE(SmoothRows(of.chain(), kRows, continues, ends, of.likelihood_.data(),
                             normaliser.data(), filtered.data(), behind.data(), ahead.data(),
                             smoothed.data()));
      std::vector<double> pairs(static_cast<size_t>(size) * size + kStatePad, 0.5);
      AddRowPairs(size, kRows, 0.25, continues ? of.before_.data() : nullptr, filtered.data(),
                  ahead.data(), pairs.data());

      Matrix expected(size, std::vector<double>(size));
      double before = 1;
      for (int t = 0; t < kRows; ++t) {
        const std::vector<double> forward = of.Ahead(t, continues);
        const std::vector<double> backward = of.Behind(t + 1, of_end);
        const double total = Total(forward);
        EXPECT_NEAR(normaliser[t], total / before, kTolerance);
        double all = 0;
        for (int k = 0; k < size; ++k) all += forward[k] * backward[k];
        for (int k = 0; k < size; ++k) {
          const size_t at = static_cast<size_t>(t) * size + k;
          EXPECT_NEAR(filtered[at], forward[k] / total, kTolerance) << t << " " << k;
          EXPECT_NEAR(smoothed[at], forward[k] * backward[k] / all, kTolerance) << t << " " << k;
        }
        if (t > 0 || continues) {
          const std::vector<double> from = t > 0 ? of.Ahead(t - 1, continues) : of.before_;
          for (int i = 0; i < size; ++i) {
            for (int j = 0; j < size; ++j) {
              expected[i][j] += from[i] * of.l(t, j) * backward[j] / all;
            }
          }
        }
        before = total;
      }
      for (int i = 0; i < size; ++i) {
        for (int j = 0; j < size; ++j) {
          const double added = pairs[static_cast<size_t>(i) * size + j] - 0.5;
          EXPECT_NEAR(added, 0.25 * expected[i][j], 1e-11);
        }
      }
      for (size_t j = static_cast<size_t>(size) * size; j < pairs.size(); ++j) {
        EXPECT_EQ(pairs[j], 0.5);
      }
      if (!continues) continue;
      const std::vector<double> message = of.Behind(0, of_end);
      for (int k = 0; k < size; ++k) {
        EXPECT_NEAR(behind[k] * message[0] / message[k], behind[0], kTolerance * behind[0]);
      }
    }
  }
}

TEST_P(KernelsMarkovTest, TransfersAndMessagesBackAreThoseOfTheDefinition) {
  const int size = GetParam();
  constexpr int kRows = 5;
  const Case of(size, kRows, 70 + size);
  Scratch transfer(static_cast<int64_t>(size) * PaddedStates(size)), scratch(transfer.size());
  const double log_scale = TransferRows(of.chain(), kRows, of.likelihood_.data(), nullptr,
                                        scratch.data(), transfer.data());
  std::vector<double> of_end;
  Scratch behind(PaddedStates(size));
  for (int k = 0; k < size; ++k) of_end.push_back(behind[k] = 0.1 + k % 3);
  ASSERT_TRUE(BackwardRows(of.chain(), kRows, of.likelihood_.data(), nullptr, behind.data(),
                           scratch.data()));
  const std::vector<double> message = of.Behind(0, of_end);
  for (int i = 0; i < size; ++i) {
    double sum = 0;
    for (int j = 0; j < size; ++j) {
      sum += transfer[static_cast<int64_t>(i) * PaddedStates(size) + j] * of_end[j];
    }
    EXPECT_NEAR(sum * std::exp(log_scale), message[i], kTolerance * message[i]);
    EXPECT_NEAR(behind[i] * message[0], message[i] * behind[0], kTolerance * message[i]);
  }
}

INSTANTIATE_TEST_SUITE_P(States, KernelsMarkovTest,
                         testing::Values(1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 20, 33),
                         [](const auto& state) { return std::to_string(state.param); });

// What is beyond a double's range is lost only if it was there.
TEST(KernelsMarkovLossTest, IsReportedOfWhatIsPositiveAlone) {
  constexpr int kRows = 2;
  constexpr int kStates = 3;
  Case of(kStates, kRows, 1);
  std::vector<double> log_likelihood(of.likelihood_.size());
  for (size_t j = 0; j < log_likelihood.size(); ++j)
    log_likelihood[j] = std::log(of.likelihood_[j]);
  std::vector<double> filtered(kRows * kStates + kStatePad), normaliser(kRows);
  Scratch scratch(kStates * PaddedStates(kStates)), transfer(kStates * PaddedStates(kStates));
  const auto all = [&](const double* log) {
    const bool forward = FilterRows(of.chain(), kRows, nullptr, of.start_.data(),
                                    of.likelihood_.data(), log, filtered.data(), normaliser.data());
    Scratch behind(PaddedStates(kStates));
    for (int k = 0; k < kStates; ++k) behind[k] = 1;
    const bool backward =
        BackwardRows(of.chain(), kRows, of.likelihood_.data(), log, behind.data(), scratch.data());
    const double transferred = TransferRows(of.chain(), kRows, of.likelihood_.data(), log,
                                            scratch.data(), transfer.data());
    EXPECT_EQ(std::isnan(transferred), !forward);
    EXPECT_EQ(backward, forward);
    return forward;
  };
  EXPECT_TRUE(all(log_likelihood.data()));
  of.likelihood_[kStates + 1] = 0;
  log_likelihood[kStates + 1] = -std::numeric_limits<double>::infinity();
  EXPECT_TRUE(all(log_likelihood.data()));
  log_likelihood[kStates + 1] = -1000;  // exp of it is 0
  EXPECT_FALSE(all(log_likelihood.data()));
  EXPECT_TRUE(all(nullptr));
  of.likelihood_[kStates + 1] = 1e-290;
  EXPECT_FALSE(all(log_likelihood.data()));
}

// What a message says of the last row's states and the rows say of them: in no double together; in
// one, but not with one over the row's likelihood; and nothing that both hold possible.
TEST(KernelsMarkovLossTest, IsReportedOfWhatIsBehind) {
  constexpr int kStates = 3;
  const Case of(kStates, 1, 1);
  std::vector<double> filtered(kStates + kStatePad), smoothed(filtered.size());
  const std::vector<double> before(kStates, 1.0 / kStates);
  Scratch ahead(PaddedStates(kStates)), behind(PaddedStates(kStates));
  const auto smooth = [&](double rare, double message, double normaliser) {
    filtered = {1, rare, 0};
    filtered.resize(kStates + kStatePad);
    behind[0] = 0;
    behind[1] = message;
    behind[2] = 1;
    return SmoothRows(of.chain(), 1, true, false, of.likelihood_.data(), &normaliser,
                      filtered.data(), behind.data(), ahead.data(), smoothed.data());
  };
  EXPECT_FALSE(smooth(1e-279, 1e-99, 1));
  EXPECT_FALSE(smooth(1e-230, 1e-80, 1));
  EXPECT_TRUE(smooth(1e-150, 1e-50, 1e-150));
  EXPECT_EQ(smoothed[0], 0);
  EXPECT_NEAR(smoothed[1], 1, 1e-14);
  EXPECT_EQ(smoothed[2], 0);
  EXPECT_NEAR(ahead[1] / 1e300, of.likelihood_[1], 1e-13);
  EXPECT_TRUE(smooth(0, 1, 1));
}

// What is beyond a row of states is no state's, whatever it is.
TEST(KernelsMarkovLossTest, NeighboursDoNotCount) {
  constexpr int kStates = 3;
  Case of(kStates, 2, 1);
  std::vector<double> filtered(2 * kStates + kStatePad), normaliser(2);
  ASSERT_TRUE(FilterRows(of.chain(), 2, nullptr, of.start_.data(), of.likelihood_.data(), nullptr,
                         filtered.data(), normaliser.data()));
  const double first = normaliser[0];
  for (int k = 0; k < kStates; ++k) {
    of.likelihood_[kStates + k] = std::numeric_limits<double>::quiet_NaN();
  }
  ASSERT_TRUE(FilterRows(of.chain(), 2, nullptr, of.start_.data(), of.likelihood_.data(), nullptr,
                         filtered.data(), normaliser.data()));
  EXPECT_EQ(normaliser[0], first);
}

TEST(KernelsMarkovLossTest, AnImpossibleRowLeavesEvenProbabilities) {
  constexpr int kStates = 5;
  Case of(kStates, 2, 3);
  for (int k = 0; k < kStates; ++k) of.likelihood_[k] = 0;
  std::vector<double> filtered(2 * kStates + kStatePad), normaliser(2);
  ASSERT_TRUE(FilterRows(of.chain(), 2, nullptr, of.start_.data(), of.likelihood_.data(), nullptr,
                         filtered.data(), normaliser.data()));
  EXPECT_EQ(normaliser[0], 0);
  EXPECT_GT(normaliser[1], 0);
  for (int k = 0; k < kStates; ++k) EXPECT_EQ(filtered[k], 0.2);
}

}  // namespace
}  // namespace emserve
