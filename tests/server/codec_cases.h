// Options of every emission, specifications made of options, and messages as they arrive.
#ifndef EMSERVE_TESTS_SERVER_CODEC_CASES_H_
#define EMSERVE_TESTS_SERVER_CODEC_CASES_H_

#include <vector>

#include "gtest/gtest.h"
#include "server/codec/fit_spec.h"

namespace emserve::server {

// Every option of every emission with a value that is no default.
inline std::vector<EmissionOptions> Emissions() {
  const NormalInverseWishart prior{
      .mean = {1, 2}, .shrinkage = 0.5, .degrees_of_freedom = 7.5, .scale = {1, 0.25, 0.25, 2}};
  GammaOptions gamma;
  gamma.ridge = 1e-3;
  gamma.prior = {.observations = 2, .mean = 3, .shape = 4};
  LogNormalOptions log_normal;
  log_normal.ridge = 1e-3;
  log_normal.prior = {.mean = -1, .observations = 2, .shape = 3, .scale = 4};
  return {
      GaussianOptions{.covariance = Covariance::kVEV, .ridge = 1.0 / 3, .prior = prior},
      StudentTOptions{.covariance = Covariance::kTied,
                      .ridge = 1e-3,
                      .estimate_degrees_of_freedom = false,
                      .shared_degrees_of_freedom = true,
                      .degrees_of_freedom = 4.5,
                      .minimum_degrees_of_freedom = 2,
                      .maximum_degrees_of_freedom = 200,
                      .prior = prior},
      BernoulliOptions{.alpha = 2, .beta = 3},
      CategoricalOptions{.first = {1, -5}, .num_levels = {3, 4}, .concentration = 1.5},
      MultinomialOptions{.concentration = 1.5, .trials = 20},
      PoissonOptions{.prior = {.shape = 2, .rate = 3}},
      NegativeBinomialOptions{.mean_prior = {.shape = 2, .rate = 3},
                              .dispersion_prior = {.shape = 4, .rate = 5}},
      ExponentialOptions{.ridge = 1e-3, .prior = {.shape = 2, .rate = 3}},
      gamma,
      log_normal,
      VonMisesFisherOptions{
          .shared_concentration = true, .prior_mean = {0.6, 0.8}, .prior_strength = 2},
      ProductOptions{{{"a", 2, GaussianOptions{.ridge = 0.25, .prior = prior}},
                      {"b", 1, PoissonOptions{.prior = {.shape = 2, .rate = 3}}}}},
  };
}

// Through bytes, as on the wire.
template <typename Message>
Message Sent(const Message& message) {
  Message received;
  EXPECT_TRUE(received.ParseFromString(message.SerializeAsString()));
  return received;
}

// Completed with the columns of a product's parts, which are no options.
inline v1::FitSpec SpecOf(const ModelOptions& options) {
  v1::FitSpec spec;
  for (const char* name : {"x", "y", "z"}) spec.add_columns(name);
  CompleteModel(options, spec);
  return spec;
}

}  // namespace emserve::server

#endif  // EMSERVE_TESTS_SERVER_CODEC_CASES_H_
