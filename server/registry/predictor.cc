#include "server/registry/predictor.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <limits>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/em/lanes.h"
#include "core/runtime/random.h"
#include "server/errors.h"

namespace emserve::server {
namespace {

constexpr int64_t kRowsBetweenStops = 1024;

absl::Status CheckWanted(const std::function<bool()>& cancelled) {
  if (cancelled == nullptr || !cancelled()) return absl::OkStatus();
  return absl::CancelledError("the caller has gone");
}

// Column by column without an early exit, so that the compiler vectorises it: a cell is not finite
// when all bits of its exponent are set.
bool AllFinite(const Block& block) {
  constexpr uint64_t kExponent = uint64_t{0x7ff} << 52;
  bool finite = true;
  for (int c = 0; c < block.num_columns; ++c) {
    const double* const cells = block.column(c);
    for (int i = 0; i < block.num_rows; ++i) {
      finite &= (std::bit_cast<uint64_t>(cells[i]) & kExponent) != kExponent;
    }
  }
  return finite;
}

// Names the first cell of `block` that is infinite, if there is one.
absl::Status CheckNotInfinite(const Table& table, const Block& block) {
  if (AllFinite(block)) return absl::OkStatus();
  for (int row = 0; row < block.num_rows; ++row) {
    for (int c = 0; c < block.num_columns; ++c) {
      if (!std::isinf(block.column(c)[row])) continue;
      return InvalidArgument(
          absl::StrCat("rows[", block.first_row + row, "]"),
          absl::StrCat("got ", block.column(c)[row], " in column '",
                       table.names()[static_cast<size_t>(c)],
                       "', must be finite, or NaN where it is missing; leave the row out"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

// What one thread needs to predict block by block.
struct Predictor::Scratch {
  Scratch(const Model& model, int max_rows, PredictionOutputs outputs)
      : workspace(model.NewWorkspace(max_rows)),
        log_density(PaddedRows(max_rows)),
        posterior(static_cast<size_t>(model.num_components()) * PaddedRows(max_rows)) {
    if (!outputs.conditional()) return;
    mean.resize(static_cast<size_t>(model.num_columns()) * PaddedRows(max_rows));
    variance.resize(mean.size());
  }

  int Label(const Block& block, int row, int num_components) const {
    int label = 0;
    for (int k = 1; k < num_components; ++k) {
      if (At(block, row, k) > At(block, row, label)) label = k;
    }
    return label;
  }
  double At(const Block& block, int row, int component) const {
    return posterior[static_cast<size_t>(component) * block.stride + row];
  }
  // Copies a row of `cells`, which is `mean` or `variance`, and returns the end.
  static double* CopyRow(const std::vector<double>& cells, const Block& block, int row,
                         double* out) {
    for (int c = 0; c < block.num_columns; ++c) {
      *out++ = cells[static_cast<size_t>(c) * block.stride + row];
    }
    return out;
  }

  std::unique_ptr<Model::Workspace> workspace;
  std::vector<double> log_density;     // [stride]
  std::vector<double> posterior;       // [components x stride]
  std::vector<double> mean, variance;  // [columns x stride], if wanted
};

Predictor::Predictor(std::unique_ptr<Model> model, std::unique_ptr<Model::Prepared> prepared,
                     std::string_view family)
    : model_(std::move(model)), prepared_(std::move(prepared)), family_(family) {}

bool Predictor::imputes() const { return HasCapability(family_, "imputation"); }

absl::Status Predictor::CheckOutputs(PredictionOutputs outputs) const {
  if (!outputs.conditional() || imputes()) return absl::OkStatus();
  return InvalidArgument("outputs", absl::StrCat("got imputed cells of a ", std::string(family_),
                                                 ", which has no missing cells; must be others"));
}

absl::StatusOr<std::shared_ptr<const Predictor>> Predictor::Create(
    const ModelOptions& options, const Summary& summary, const std::vector<std::string>& columns,
    std::span<const double> theta) {
  absl::StatusOr<std::unique_ptr<Model>> model = MakeModel(options, summary, columns);
  if (!model.ok()) return model.status();
  if (absl::Status status = (*model)->Validate(theta); !status.ok()) return status;
  std::unique_ptr<Model::Prepared> prepared = (*model)->NewPrepared();
  if (absl::Status status = (*model)->Prepare(theta, *prepared); !status.ok()) return status;
  return std::shared_ptr<const Predictor>(
      new Predictor(*std::move(model), std::move(prepared), FamilyName(options)));
}

absl::Status Predictor::PredictBlock(const Table& table, const Block& block,
                                     PredictionOutputs outputs, Scratch& scratch) const {
  if (absl::Status status = CheckNotInfinite(table, block); !status.ok()) return status;
  if (absl::Status status = model_->CheckRows(block, table.names()); !status.ok()) {
    return Reworded(status, absl::StrCat("rows", std::string(status.message())));
  }
  RowOutputs row_outputs;
  row_outputs.log_density = scratch.log_density.data();
  if (outputs.labels || outputs.posteriors) row_outputs.posterior = scratch.posterior.data();
  if (outputs.conditional()) {
    row_outputs.conditional_mean = scratch.mean.data();
    row_outputs.conditional_variance = scratch.variance.data();
  }
  model_->Infer(*prepared_, block, *scratch.workspace, row_outputs);
  for (int i = 0; i < block.num_rows; ++i) {
    // Without mass under any component there is no posterior either.
    if (std::isfinite(scratch.log_density[i])) continue;
    return InvalidArgument(absl::StrCat("rows[", block.first_row + i, "]"),
                           absl::StrCat("got values with log density ", scratch.log_density[i],
                                        ", must be near enough to a component; leave the row out"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Prediction> Predictor::Predict(const Table& table, PredictionOutputs outputs,
                                              const std::function<bool()>& cancelled) const {
  if (absl::Status status = CheckOutputs(outputs); !status.ok()) return status;
  const Partition partition = Partition::Make(table.num_rows(), model_->doubles_per_row());
  const int max_rows = static_cast<int>(std::min<int64_t>(partition.block_rows, table.num_rows()));
  const int num_components = model_->num_components();
  BlockBuffer buffer = table.MakeBuffer(max_rows);
  Scratch scratch(*model_, max_rows, outputs);
  Prediction out;
  const auto rows = static_cast<size_t>(table.num_rows());
  if (outputs.labels) out.labels.resize(rows);
  if (outputs.posteriors) out.posteriors.resize(rows * static_cast<size_t>(num_components));
  if (outputs.log_densities) out.log_densities.resize(rows);
  const auto num_columns = static_cast<size_t>(table.num_columns());
  if (outputs.imputed) out.imputed.resize(rows * num_columns);
  if (outputs.imputed_variances) out.imputed_variances.resize(rows * num_columns);
  for (int64_t b = 0; b < partition.num_blocks; ++b) {
    if (absl::Status status = CheckWanted(cancelled); !status.ok()) return status;
    const Block block = table.Read(partition.first_row(b), partition.rows(b), buffer);
    absl::Status status = PredictBlock(table, block, outputs, scratch);
    if (!status.ok()) return status;
    for (int i = 0; i < block.num_rows; ++i) {
      const auto row = static_cast<size_t>(block.first_row + i);
      if (outputs.labels) out.labels[row] = scratch.Label(block, i, num_components);
      if (outputs.log_densities) out.log_densities[row] = scratch.log_density[i];
      if (outputs.imputed) {
        Scratch::CopyRow(scratch.mean, block, i, out.imputed.data() + row * num_columns);
      }
      if (outputs.imputed_variances) {
        Scratch::CopyRow(scratch.variance, block, i,
                         out.imputed_variances.data() + row * num_columns);
      }
      if (!outputs.posteriors) continue;
      for (int k = 0; k < num_components; ++k) {
        out.posteriors[row * static_cast<size_t>(num_components) + k] = scratch.At(block, i, k);
      }
    }
  }
  return out;
}

int Predictor::NumOutputColumns(PredictionOutputs outputs) const {
  return (outputs.labels ? 1 : 0) + (outputs.posteriors ? model_->num_components() : 0) +
         (outputs.log_densities ? 1 : 0) + (outputs.imputed ? model_->num_columns() : 0) +
         (outputs.imputed_variances ? model_->num_columns() : 0);
}

absl::Status Predictor::PredictRows(const Table& table, PredictionOutputs outputs,
                                    Pool::Share& share, std::stop_token stop,
                                    const std::function<void(int)>& rows_done, double* out) const {
  if (absl::Status status = CheckOutputs(outputs); !status.ok()) return status;
  Lanes lanes(table, model_->doubles_per_row(), share, std::move(stop));
  std::vector<std::unique_ptr<Scratch>> scratches(static_cast<size_t>(lanes.num_slots()));
  const int num_components = model_->num_components();
  const int num_output_columns = NumOutputColumns(outputs);
  std::atomic<bool> failed = false;
  std::mutex mutex;
  absl::Status error;
  int64_t error_row = std::numeric_limits<int64_t>::max();

  absl::Status status = lanes.ForEachBlock([&](int, int slot, const Block& block) {
    if (failed) return;
    std::unique_ptr<Scratch>& scratch = scratches[static_cast<size_t>(slot)];
    if (scratch == nullptr) scratch = std::make_unique<Scratch>(*model_, lanes.max_rows(), outputs);
    absl::Status of_block = PredictBlock(table, block, outputs, *scratch);
    if (!of_block.ok()) {
      failed = true;
      const std::lock_guard lock(mutex);
      if (block.first_row < error_row) error = std::move(of_block);
      error_row = std::min(error_row, block.first_row);
      return;
    }
    double* row = out + block.first_row * num_output_columns;
    for (int i = 0; i < block.num_rows; ++i) {
      if (outputs.labels) *row++ = scratch->Label(block, i, num_components);
      if (outputs.posteriors) {
        for (int k = 0; k < num_components; ++k) *row++ = scratch->At(block, i, k);
      }
      if (outputs.log_densities) *row++ = scratch->log_density[i];
      if (outputs.imputed) row = Scratch::CopyRow(scratch->mean, block, i, row);
      if (outputs.imputed_variances) row = Scratch::CopyRow(scratch->variance, block, i, row);
    }
    rows_done(block.num_rows);
  });
  return error.ok() ? status : error;
}

absl::StatusOr<SampledRows> Predictor::Sample(int64_t num_rows, uint64_t seed,
                                              const std::function<bool()>& cancelled) const {
  if (!model_->has_likelihood()) {
    return InvalidArgument("model", absl::StrCat("got a ", std::string(family_),
                                                 ", which is no distribution to draw from; must be "
                                                 "a mixture"));
  }
  const auto num_columns = static_cast<size_t>(model_->num_columns());
  SampledRows out;
  out.rows.resize(static_cast<size_t>(num_rows) * num_columns);
  out.labels.resize(static_cast<size_t>(num_rows));
  Random random(seed, /*stream=*/0);
  for (int64_t i = 0; i < num_rows; ++i) {
    if (i % kRowsBetweenStops == 0) {
      if (absl::Status status = CheckWanted(cancelled); !status.ok()) return status;
    }
    const auto row = static_cast<size_t>(i);
    out.labels[row] = model_->Sample(*prepared_, random,
                                     std::span(out.rows).subspan(row * num_columns, num_columns));
  }
  return out;
}

}  // namespace emserve::server
