// Long chains in many blocks: against the recursion in one piece, with any number of threads.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "core/em/expectation.h"
#include "core/latent/hmm.h"
#include "gtest/gtest.h"
#include "tests/core/hmm_cases.h"
#include "tests/core/test_data.h"

namespace emserve::testing {
namespace {

constexpr double kImpossible = -std::numeric_limits<double>::infinity();

Theta LongChainTheta(int num_states, double stay) {
  Theta theta(num_states, 1.0 / num_states);
  for (int i = 0; i < num_states; ++i) {
    for (int j = 0; j < num_states; ++j) {
      theta.push_back(i == j ? stay : (1 - stay) / (num_states - 1));
    }
  }
  for (int k = 0; k < num_states; ++k) theta.push_back(2.0 * k + 0.3);
  for (int k = 0; k < num_states; ++k) theta.push_back(1.5);
  return theta;
}

// The plain textbook recursion over the whole chain, in logarithms.
double PlainLogLikelihood(const Data& data, const Theta& theta, int num_states) {
  std::vector<double> score(num_states);
  std::vector<double> next(num_states);
  for (int64_t i = 0; i < data.num_rows(); ++i) {
    for (int j = 0; j < num_states; ++j) {
      const double mean = theta[num_states * (1 + num_states) + j];
      const double variance = theta[num_states * (2 + num_states) + j];
      const double x = data.values[i];
      double sum = 0;
      double largest = kImpossible;
      for (int k = 0; k < num_states && i > 0; ++k) {
        largest = std::max(largest, score[k] + std::log(theta[num_states * (1 + k) + j]));
      }
      for (int k = 0; k < num_states && i > 0; ++k) {
        sum += std::exp(score[k] + std::log(theta[num_states * (1 + k) + j]) - largest);
      }
      next[j] = (i == 0 ? std::log(theta[j]) : largest + std::log(sum)) -
                0.5 * (std::log(2 * M_PI * variance) + (x - mean) * (x - mean) / variance);
    }
    score = next;
  }
  const double largest = *std::max_element(score.begin(), score.end());
  double sum = 0;
  for (const double s : score) sum += std::exp(s - largest);
  return largest + std::log(sum);
}

class LongChains : public ::testing::TestWithParam<int> {};

// 3 states hand transfers on, 18 messages; blocks must not show in either.
TEST_P(LongChains, BlocksLeaveNoTrace) {
  const int num_states = GetParam();
  const Data data = LongChain(3000, num_states, 7);
  const Table table = data.ToTable();
  const std::unique_ptr<Model> model = GaussianHmm(num_states, table);
  const Theta theta = LongChainTheta(num_states, 0.9);
  const HmmPass pass = RunPass(*model, table, theta);
  const double plain = PlainLogLikelihood(data, theta, num_states);
  EXPECT_NEAR(pass.log_likelihood, plain, 1e-11 * std::abs(plain));
  double pairs = 0;
  for (int j = 0; j < num_states * num_states; ++j) pairs += pass.statistics[2 * num_states + j];
  EXPECT_NEAR(pairs, 2999, 1e-8);
  double sum = 0;
  for (const double of_row : pass.log_density) sum += of_row;
  EXPECT_NEAR(sum, plain, 1e-11 * std::abs(plain));
  // The state of a row is the same whichever pairs it is counted in.
  for (int k = 0; k < num_states; ++k) {
    double from = 0;
    double into = 0;
    for (int j = 0; j < num_states; ++j) {
      from += pass.statistics[2 * num_states + k * num_states + j];
      into += pass.statistics[2 * num_states + j * num_states + k];
    }
    EXPECT_NEAR(from + pass.posterior.back()[k], pass.statistics[k], 1e-9);
    EXPECT_NEAR(into + pass.posterior.front()[k], pass.statistics[k], 1e-9);
  }
}

TEST_P(LongChains, ThreadsDoNotChangeBits) {
  const int num_states = GetParam();
  const Table table = LongChain(40000, num_states, 8).ToTable();
  const std::unique_ptr<Model> model = GaussianHmm(num_states, table);
  const Theta theta = LongChainTheta(num_states, 0.9);
  for (const Assignment& assignment : {Assignment{}, Assignment{.kind = Assignment::Kind::kHard},
                                       Assignment{.kind = Assignment::Kind::kSampled, .seed = 5}}) {
    Pool one(1);
    Pool::Share alone(one);
    Expectation reference(*model, table, alone, {});
    const double expected = reference.Run(theta, assignment).value();
    for (const int num_threads : {2, 7}) {
      Pool pool(num_threads);
      Pool::Share share(pool);
      Expectation expectation(*model, table, share, {});
      EXPECT_EQ(expectation.Run(theta, assignment).value(), expected);
      EXPECT_TRUE(std::equal(reference.statistics().begin(), reference.statistics().end(),
                             expectation.statistics().begin()));
    }
  }
}

// A path is one path: as many pairs as rows, and every state is left as often as entered but for
// the ends.
TEST_P(LongChains, PathsHoldTogetherAcrossBlocks) {
  const int num_states = GetParam();
  const Table table = LongChain(3000, num_states, 9).ToTable();
  const std::unique_ptr<Model> model = GaussianHmm(num_states, table);
  const Theta theta = LongChainTheta(num_states, 0.9);
  for (const Assignment& assignment : {Assignment{.kind = Assignment::Kind::kHard},
                                       Assignment{.kind = Assignment::Kind::kSampled, .seed = 5}}) {
    const HmmPass pass = RunPass(*model, table, theta, assignment);
    double unequal = 0;
    for (int k = 0; k < num_states; ++k) {
      double from = 0;
      double into = 0;
      for (int j = 0; j < num_states; ++j) {
        from += pass.statistics[2 * num_states + k * num_states + j];
        into += pass.statistics[2 * num_states + j * num_states + k];
      }
      EXPECT_NEAR(from, std::round(from), 1e-9);
      EXPECT_LE(pass.statistics[k] - from, 1 + 1e-9);
      EXPECT_LE(pass.statistics[k] - into, 1 + 1e-9);
      unequal += std::abs(from - into);
    }
    EXPECT_LE(unequal, 2 + 1e-9);
  }
}

INSTANTIATE_TEST_SUITE_P(Transfers, LongChains, ::testing::Values(3, 18));

TEST(Hmm, BestPathOfAChainIsTheSumOfItsParts) {
  // 1000 rows in several blocks: the best path's density from the pass, and by Viterbi on one
  // block.
  const Data data = LongChain(1000, 3, 11);
  const Table table = data.ToTable();
  const std::unique_ptr<Model> model = GaussianHmm(3, table);
  const Theta theta = LongChainTheta(3, 0.9);
  const HmmPass pass = RunPass(*model, table, theta, {.kind = Assignment::Kind::kHard});
  std::vector<double> score(3);
  std::vector<double> next(3);
  for (int64_t i = 0; i < data.num_rows(); ++i) {
    for (int j = 0; j < 3; ++j) {
      double best = i == 0 ? std::log(theta[j]) : kImpossible;
      for (int k = 0; k < 3 && i > 0; ++k) {
        best = std::max(best, score[k] + std::log(theta[3 + k * 3 + j]));
      }
      const double z = data.values[i] - theta[12 + j];
      next[j] = best - 0.5 * (std::log(2 * M_PI * theta[15 + j]) + z * z / theta[15 + j]);
    }
    score = next;
  }
  EXPECT_NEAR(pass.log_likelihood, *std::max_element(score.begin(), score.end()), 1e-9);
}

// A left-right chain whose states are hundreds of orders of magnitude apart: probabilities leave
// the range of doubles, and come to matter later.
TEST(Hmm, NothingUnderflowsThatMattersLater) {
  Data data{.num_columns = 1, .values = {}, .weights = {}};
  // State 1's density is higher on the first 900 rows, but only state 0 can explain the last ones.
  for (int i = 0; i < 900; ++i) data.values.push_back(2);
  for (int i = 0; i < 900; ++i) data.values.push_back(-2);
  const Table table = data.ToTable();
  const std::unique_ptr<Model> model =
      GaussianHmm(2, table, WithPattern(TransitionPattern::kLeftRight));
  const Theta theta = {0.5, 0.5, 0.99, 0.01, 0, 1, -1, 1, 1, 1};
  const HmmPass pass = RunPass(*model, table, theta);
  EXPECT_NEAR(pass.log_likelihood, PlainLogLikelihood(data, theta, 2), 1e-8);
}

TEST(Hmm, AMillionRowsKeepTheirDigits) {
  const Data data = LongChain(1000000, 2, 12);
  const Table table = data.ToTable();
  const std::unique_ptr<Model> model = GaussianHmm(2, table);
  const Theta theta = LongChainTheta(2, 0.97);
  Pool pool(2);
  Pool::Share share(pool);
  Expectation expectation(*model, table, share, {});
  const double plain = PlainLogLikelihood(data, theta, 2);
  EXPECT_NEAR(expectation.Run(theta).value(), plain, 1e-10 * std::abs(plain));
}

}  // namespace
}  // namespace emserve::testing
