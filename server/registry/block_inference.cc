#include "server/registry/block_inference.h"

#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "core/em/chain.h"
#include "server/errors.h"

namespace emserve::server {
namespace {

constexpr double kImpossible = -std::numeric_limits<double>::infinity();

}  // namespace

BlockInference::BlockInference(const Model& model, const Model::Prepared& prepared,
                               PredictionOutputs outputs, const Outlook& outlook, int max_rows)
    : model_(model),
      prepared_(prepared),
      outputs_(outputs),
      outlook_(outlook),
      workspace_(model.NewWorkspace(max_rows)),
      log_density_(PaddedRows(max_rows)) {
  const auto make = [stride = PaddedRows(max_rows)](int width, bool wanted, auto&... arrays) {
    if (wanted) (arrays.Resize(width, stride), ...);
  };
  const bool has_chain = model.chain() != nullptr;
  const int num_components = model.num_components();
  const int num_columns = model.num_columns();
  const bool labels_of_posteriors = outputs.labels && !has_chain;
  make(num_components, labels_of_posteriors || outputs.posteriors || outputs.decoded, posterior);
  make(num_components, outputs.filtered, filtered);
  make(num_components, outputs.forecasts, forecast);
  make(num_columns, outputs.conditional(), mean, variance);
  make(num_columns, outputs.forecasts && outlook.cells, forecast_mean, forecast_variance);
  make(num_columns, outputs.residuals, residual);
  make(num_columns, outputs.forecast_residuals, forecast_residual);
  if (!has_chain) return;
  path_.resize(log_density_.size());
  path_log_density_.resize(log_density_.size());
}

absl::Status BlockInference::Infer(const Block& block, const Block& of_paths) {
  const bool has_chain = model_.chain() != nullptr;
  model_.Infer(prepared_, block, *workspace_,
               {.log_density = log_density_.data(),
                .posterior = posterior.data(),
                .filtered = filtered.data(),
                .conditional_mean = mean.data(),
                .conditional_variance = variance.data(),
                .ahead = outlook_.ahead.empty() ? nullptr : outlook_.ahead.data(),
                .forecast = forecast.data(),
                .forecast_mean = forecast_mean.data(),
                .forecast_variance = forecast_variance.data(),
                .residual = residual.data(),
                .forecast_residual = forecast_residual.data()});
  const bool may_be_impossible = has_chain && outputs_.only_log_densities();
  for (int i = 0; i < block.num_rows; ++i) {
    // Without mass under any component there is no posterior either.
    if (std::isfinite(log_density(i))) continue;
    if (may_be_impossible && log_density(i) == kImpossible) continue;
    return InvalidArgument(
        absl::StrCat("rows[", block.first_row + i, "]"),
        absl::StrCat("got values with log density ", log_density(i),
                     has_chain ? " after the rows before, must be possible in some state; empty "
                                 "its cells, so that the rows behind it keep their time, or ask "
                                 "for log densities only"
                               : ", must be near enough to a component; leave the row out"));
  }
  if (has_chain && outputs_.of_paths()) {
    model_.Infer(prepared_, of_paths, *workspace_,
                 {.path = path_.data(), .path_log_density = path_log_density_.data()});
    for (int i = 0; i < block.num_rows; ++i) {
      if (log_density(i) == kImpossible) path_log_density_[static_cast<size_t>(i)] = kImpossible;
    }
  }
  return absl::OkStatus();
}

int BlockInference::MostProbable(const Block& block, int row) const {
  int best = 0;
  for (int k = 1; k < posterior.width(); ++k) {
    if (posterior.At(block, row, k) > posterior.At(block, row, best)) best = k;
  }
  return best;
}

}  // namespace emserve::server
