// What a program that uses core as a library looks like: fits two clear clusters and checks their
// means.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

#include "core/em/fit.h"
#include "core/families.h"

int main() {
  emserve::Pool pool(2);
  emserve::Pool::Share share(pool);
  const auto table = emserve::Table::FromValues({-1.5, -1.0, -0.5, 8.5, 9.0, 9.5}, 6, 1);
  const auto summary = emserve::Summarize(*table, share, {});
  const emserve::MixtureOptions options{.num_components = 2,
                                        .emission = emserve::GaussianOptions{}};
  const auto model = emserve::MakeModel(options, *summary, table->names());
  const auto fit = emserve::Fit(**model, *table, *summary, {.seed = 1}, {.share = &share});
  if (!fit.ok()) {
    std::fprintf(stderr, "%s\n", fit.status().ToString().c_str());
    return 1;
  }
  const auto has = [&](double mean) {
    return std::ranges::any_of(fit->theta, [&](double x) { return std::abs(x - mean) < 1e-6; });
  };
  std::printf("log-likelihood %.6f\n", fit->log_likelihood);
  return has(-1.0) && has(9.0) ? 0 : 1;
}
