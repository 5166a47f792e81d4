#include "server/jobs/fit_memory.h"

#include <algorithm>
#include <variant>

#include "core/em/messages.h"

namespace emserve::server {
namespace {

int64_t ToBytes(double bytes) {
  constexpr double kMost = 4e18;  // within int64
  return static_cast<int64_t>(std::min(bytes, kMost));
}

// Bytes per parameter of what holds elements of the parameters, resolved, in slices and row by row:
// constraints, and transitions that there are not.
double BytesOfConstraint(const ModelOptions& options) {
  constexpr double kCopies = 3;
  constexpr double kMark = sizeof(char);
  constexpr double kValue = sizeof(int64_t) + sizeof(double);
  return std::visit(
      [](const auto& chosen) -> double {
        if (!chosen.constraints.empty()) return kCopies * (kMark + kValue) + kMark;
        if constexpr (requires { chosen.transitions; }) {
          if (chosen.transitions != TransitionPattern::kFull ||
              chosen.durations != DurationKind::kGeometric ||  // to the state itself
              !chosen.allowed_transitions.empty()) {
            return kCopies * kMark + kMark;
          }
        }
        return 0;
      },
      options);
}

// Bytes of what Bare leaves out, for a model with `parameters` parameters of `num_columns` columns:
// what holds elements; a matrix of the prior and its factor.
double BytesBesideParameters(const ModelOptions& options, double parameters, int num_columns) {
  const auto of_prior = [](const auto& emission, double columns) -> double {
    if constexpr (requires { emission.covariance; }) {
      if (emission.prior.has_value()) return 2 * columns * columns * sizeof(double);
    }
    return 0;
  };
  double bytes = BytesOfConstraint(options) * parameters;
  const EmissionOptions* const whole = EmissionOf(options);
  if (whole == nullptr) return bytes;
  bytes +=
      std::visit([&](const auto& emission) { return of_prior(emission, num_columns); }, *whole);
  if (const auto* const product = std::get_if<ProductOptions>(whole)) {
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
  std::visit(
      [](auto& chosen) {
        chosen.constraints = {};
        if constexpr (requires { chosen.transitions; }) {
          chosen.initial = InitialDistribution::kFree;
          chosen.transitions = TransitionPattern::kFull;
          chosen.allowed_transitions = {};
          chosen.shape_only = true;  // durations leave no transitions to the state itself
        }
      },
      options);
  EmissionOptions* const whole = EmissionOf(options);
  if (whole == nullptr) return options;
  std::visit(without_prior, *whole);
  if (auto* const product = std::get_if<ProductOptions>(whole)) {
    for (ProductOptions::Part& part : product->parts) std::visit(without_prior, part.emission);
  }
  return options;
}

double ChainDoubles(const Model& model, const Partition& partition, int num_threads) {
  if (model.chain() == nullptr) return 0;
  // Workspaces keep matrices of transitions, those that messages are made in too.
  constexpr double kMatrices = 16;
  return Messages::DoublesOf(model, partition) +
         num_threads * (kMatrices * static_cast<double>(model.parameters().size()) +
                        2.0 * partition.block_rows * static_cast<double>(model.doubles_per_row()));
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
      2.0 * num_threads * partition.block_rows * static_cast<double>(model.doubles_per_row()) +
      ChainDoubles(model, partition, num_threads);
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
