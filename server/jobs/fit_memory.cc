#include "server/jobs/fit_memory.h"

#include <algorithm>
#include <variant>

#include "core/data/table.h"

namespace emserve::server {
namespace {

int64_t ToBytes(double bytes) {
  constexpr double kMost = 4e18;  // within int64
  return static_cast<int64_t>(std::min(bytes, kMost));
}

// Bytes of what Bare leaves out, for a model with `parameters` parameters of `num_columns` columns:
// constraints resolved element by element, whole and once more in slices; a matrix of the prior and
// its factor.
double BytesBesideParameters(const ModelOptions& options, double parameters, int num_columns) {
  constexpr double kBytesOfConstraint = 2 * (sizeof(int64_t) + sizeof(double) + 2 * sizeof(char));
  const auto of_prior = [](const auto& emission, double columns) -> double {
    if constexpr (requires { emission.covariance; }) {
      if (emission.prior.has_value()) return 2 * columns * columns * sizeof(double);
    }
    return 0;
  };
  const bool constrained =
      std::visit([](const auto& chosen) { return !chosen.constraints.empty(); }, options);
  double bytes = constrained ? kBytesOfConstraint * parameters : 0;
  const auto* const mixture = std::get_if<MixtureOptions>(&options);
  if (mixture == nullptr) return bytes;
  bytes += std::visit([&](const auto& emission) { return of_prior(emission, num_columns); },
                      mixture->emission);
  if (const auto* const product = std::get_if<ProductOptions>(&mixture->emission)) {
    for (const ProductOptions::Part& part : product->parts) {
      bytes += std::visit([&](const auto& leaf) { return of_prior(leaf, part.num_columns); },
                          part.emission);
    }
  }
  return bytes;
}

}  // namespace

int64_t BlockBytes(const Table& table, int num_threads) {
  const Partition partition = Partition::Make(table.num_rows(), table.num_columns());
  return ToBytes(
      static_cast<double>(partition.block_rows) * std::min(num_threads, partition.num_lanes) *
      (table.num_columns() + static_cast<double>(table.label_components())) * sizeof(double));
}

ModelOptions Bare(ModelOptions options) {
  const auto without_prior = [](auto& emission) {
    if constexpr (requires { emission.covariance; }) emission.prior.reset();
  };
  std::visit([](auto& chosen) { chosen.constraints = {}; }, options);
  auto* const mixture = std::get_if<MixtureOptions>(&options);
  if (mixture == nullptr) return options;
  std::visit(without_prior, mixture->emission);
  if (auto* const product = std::get_if<ProductOptions>(&mixture->emission)) {
    for (ProductOptions::Part& part : product->parts) std::visit(without_prior, part.emission);
  }
  return options;
}

int64_t FitBytes(const Model& model, const Table& table, const FitRequest& request,
                 int num_threads) {
  const FitOptions& options = request.options;
  const Partition partition =
      Partition::Make(table.num_rows(), model.doubles_per_row(), model.statistics().size());
  const bool parallel_restarts = options.restarts > 1 && partition.num_lanes < 2 * num_threads;
  const double concurrent = parallel_restarts ? std::min(options.restarts, num_threads) : 1;
  const auto parameters = static_cast<double>(model.parameters().size());
  const double remembered =
      options.acceleration == Acceleration::kAnderson ? 2.0 * options.anderson_depth : 0;
  const double per_restart =
      static_cast<double>(model.statistics().size()) * partition.num_lanes +
      (10 + remembered) * parameters +
      2.0 * num_threads * partition.block_rows * static_cast<double>(model.doubles_per_row());
  const double sampled = std::min(static_cast<double>(table.num_rows()),
                                  std::max(16384.0, 128.0 * model.num_components()));
  const double doubles =
      concurrent * (per_restart + sampled * (4.0 + table.num_columns())) + 3 * parameters;
  const double narrow =
      request.storage == Storage::kFloat32
          ? static_cast<double>(table.num_rows()) *
                (sizeof(float) * (1.0 + table.num_columns() +
                                  static_cast<double>(table.plausibility_columns().size() +
                                                      table.start_columns().size())) +
                 sizeof(double))
          : 0;
  const double past =
      request.update.has_value()
          ? parameters + (1 + concurrent) * static_cast<double>(model.statistics().size())
          : 0;
  return ToBytes((doubles + past) * sizeof(double) + narrow +
                 BytesBesideParameters(request.model, parameters, table.num_columns()));
}

}  // namespace emserve::server
