// Small hidden Markov models, rows for them, and what a pass over a table says of each row.
#ifndef EMSERVE_TESTS_CORE_HMM_CASES_H_
#define EMSERVE_TESTS_CORE_HMM_CASES_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "core/em/expectation.h"
#include "core/em/messages.h"
#include "core/emission/gaussian.h"
#include "core/emission/poisson.h"
#include "core/latent/hmm.h"
#include "gtest/gtest.h"
#include "tests/core/test_data.h"

namespace emserve::testing {

using Theta = std::vector<double>;

inline Table Column(std::vector<double> values) {
  return Data{.num_columns = 1, .values = std::move(values), .weights = {}}.ToTable();
}

inline HmmHyperparameters WithPattern(TransitionPattern pattern) {
  HmmHyperparameters hyperparameters;
  hyperparameters.transitions = pattern;
  return hyperparameters;
}

inline std::unique_ptr<Model> PoissonHmm(int num_states, const Table& table,
                                         const HmmHyperparameters& hyperparameters = {}) {
  return MakeHmm(MakePoisson({}, num_states, SummaryOf(table), table.names()).value(),
                 hyperparameters)
      .value();
}

inline std::unique_ptr<Model> GaussianHmm(int num_states, const Table& table,
                                          const HmmHyperparameters& hyperparameters = {}) {
  return MakeHmm(MakeGaussian(GaussianOptions{Covariance::kDiagonal}, num_states, SummaryOf(table),
                              table.names())
                     .value(),
                 hyperparameters)
      .value();
}

// Rows of a chain whose states last, with Gaussian densities.
inline Data LongChain(int64_t num_rows, int num_states, uint64_t seed) {
  Random random(seed, 0);
  Data data{.num_columns = 1, .values = {}, .weights = {}};
  uint64_t state = 0;
  for (int64_t i = 0; i < num_rows; ++i) {
    if (random.Uniform() < 0.05) state = random.Below(num_states);
    data.values.push_back(2.0 * static_cast<double>(state) + random.Normal());
  }
  return data;
}

// One pass, its statistics and every row's outputs.
struct HmmPass {
  double log_likelihood = 0;
  std::vector<double> statistics;
  std::vector<double> log_density;             // [rows]
  std::vector<std::vector<double>> posterior;  // [rows][K]
  std::vector<std::vector<double>> filtered;   // [rows][K]
};

inline HmmPass RunPass(const Model& model, const Table& table, const Theta& theta,
                       const Assignment& assignment = {}, int num_threads = 1) {
  Pool pool(num_threads);
  Pool::Share share(pool);
  Expectation expectation(model, table, share, {});
  const absl::StatusOr<double> log_likelihood = expectation.Run(theta, assignment);
  EXPECT_TRUE(log_likelihood.ok()) << log_likelihood.status();
  HmmPass pass;
  pass.log_likelihood = log_likelihood.value_or(0);
  pass.statistics.assign(expectation.statistics().begin(), expectation.statistics().end());

  const std::unique_ptr<Model::Prepared> prepared = model.NewPrepared();
  EXPECT_TRUE(model.Prepare(theta, *prepared).ok());
  Lanes lanes(table, model.doubles_per_row(), share, {});
  Messages messages(model, table, lanes.partition(), share, nullptr);
  EXPECT_TRUE(messages.Run(*prepared, {}).ok());
  const std::unique_ptr<Model::Workspace> workspace = model.NewWorkspace(lanes.max_rows());
  const int num_states = model.num_components();
  for (int64_t b = 0; b < lanes.partition().num_blocks; ++b) {
    BlockBuffer buffer = table.MakeBuffer(lanes.max_rows());
    const Block block = messages.Informed(
        table.Read(lanes.partition().first_row(b), lanes.partition().rows(b), buffer));
    std::vector<double> log_density(block.stride);
    std::vector<double> posterior(static_cast<size_t>(num_states) * block.stride);
    std::vector<double> filtered(posterior.size());
    model.Infer(*prepared, block, *workspace,
                {.log_density = log_density.data(),
                 .posterior = posterior.data(),
                 .filtered = filtered.data()});
    for (int t = 0; t < block.num_rows; ++t) {
      pass.log_density.push_back(log_density[t]);
      pass.posterior.emplace_back();
      pass.filtered.emplace_back();
      for (int k = 0; k < num_states; ++k) {
        const size_t j = static_cast<size_t>(k) * block.stride + t;
        pass.posterior.back().push_back(posterior[j]);
        pass.filtered.back().push_back(filtered[j]);
      }
    }
  }
  return pass;
}

}  // namespace emserve::testing

#endif  // EMSERVE_TESTS_CORE_HMM_CASES_H_
