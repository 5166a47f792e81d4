#include "server/registry/predictor.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/em/chain.h"
#include "core/em/lanes.h"
#include "core/em/messages.h"
#include "core/runtime/random.h"
#include "server/errors.h"
#include "server/registry/block_cells.h"
#include "server/registry/sequence_paths.h"
#include "server/registry/sequence_walk.h"

namespace emserve::server {
namespace {

constexpr int64_t kRowsBetweenStops = 1024;

absl::Status CheckWanted(const std::function<bool()>& cancelled) {
  if (cancelled == nullptr || !cancelled()) return absl::OkStatus();
  return absl::CancelledError("the caller has gone");
}

// Calls `body` for every block, from several threads, until one fails; of those that have failed
// by then the first block's error counts.
absl::Status ForEachBlock(Lanes& lanes,
                          absl::FunctionRef<absl::Status(int slot, const Block& block)> body) {
  std::atomic<bool> failed = false;
  std::mutex mutex;
  absl::Status error;
  int64_t error_row = std::numeric_limits<int64_t>::max();
  absl::Status status = lanes.ForEachBlock([&](int, int slot, const Block& block) {
    if (failed) return;
    absl::Status of_block = body(slot, block);
    if (of_block.ok()) return;
    failed = true;
    const std::lock_guard lock(mutex);
    if (block.first_row < error_row) error = std::move(of_block);
    error_row = std::min(error_row, block.first_row);
  });
  return error.ok() ? status : error;
}

// Of a column that has what each row adds to its sequence's figure: the figure in every row.
void SumBySequence(const Sequences& sequences, int num_columns, double* column) {
  for (int64_t s = 0; s < sequences.size(); ++s) {
    const int64_t end = sequences.first_row(s + 1);
    double sum = 0;
    for (int64_t i = sequences.first_row(s); i < end; ++i) sum += column[i * num_columns];
    for (int64_t i = sequences.first_row(s); i < end; ++i) column[i * num_columns] = sum;
  }
}

// Columns of the best paths, and of their probabilities.
int PathColumns(PredictionOutputs outputs) {
  return outputs.best_paths ? 2 * outputs.num_paths : 0;
}

// Of what Chain::Ahead takes: numbers, and multiplications, some seconds' worth.
constexpr double kMostAhead = 1 << 24;
constexpr double kMostAheadCost = 4e9;

// Whether states last as long as durations say.
bool HasDurations(const ModelOptions& options) {
  const auto* const hmm = std::get_if<HmmOptions>(&options);
  return hmm != nullptr && hmm->durations != DurationKind::kGeometric;
}

constexpr Assignment kBestPaths{.kind = Assignment::Kind::kHard};

}  // namespace

Predictor::Predictor(std::unique_ptr<Model> model, std::unique_ptr<Model::Prepared> prepared,
                     const ModelOptions& options, std::span<const double> theta)
    : model_(std::move(model)),
      prepared_(std::move(prepared)),
      family_(FamilyName(options)),
      forecasts_cells_(HasOutput(options, "forecasts") && HasOutput(options, "imputed")),
      has_residuals_(HasOutput(options, "residuals")),
      has_durations_(HasDurations(options)) {
  const Chain* const chain = model_->chain();
  if (chain == nullptr) return;
  expected_durations_ = chain->ExpectedDurations(theta);
  if (model_->num_components() <= kMostStationary) stationary_ = chain->StationaryOf(theta);
}

bool Predictor::imputes() const { return HasCapability(family_, "imputation"); }

absl::Status Predictor::CheckOutputs(PredictionOutputs outputs) const {
  const auto refuse = [this](const char* what, const char* lack) {
    return InvalidArgument("outputs", absl::StrCat("got ", what, " of a ", std::string(family_),
                                                   ", which has no ", lack, "; must be others"));
  };
  if (outputs.conditional() && !imputes()) return refuse("imputed cells", "missing cells");
  if (outputs.sequential() && !sequential()) {
    return refuse(outputs.filtered                   ? "filtered posteriors"
                  : outputs.decoded                  ? "decoded states"
                  : outputs.forecasts                ? "forecasts"
                  : outputs.of_residuals()           ? "residuals"
                  : outputs.sequence_log_likelihoods ? "log-likelihoods of sequences"
                  : outputs.path_log_probabilities   ? "log-probabilities of paths"
                                                     : "best paths",
                  "sequences");
  }
  if (outputs.of_residuals() && !has_residuals_) {
    return refuse("residuals", "probabilities of less and of more than each of its cells");
  }
  if (outputs.best_paths &&
      !(outputs.num_paths >= 1 && outputs.num_paths <= PredictionOutputs::kMaxPaths)) {
    return InvalidArgument("num_paths", absl::StrCat("got ", outputs.num_paths, ", must be 1 to ",
                                                     PredictionOutputs::kMaxPaths));
  }
  return outputs.forecasts ? CheckHorizon(outputs.forecast_horizon) : absl::OkStatus();
}

absl::Status Predictor::CheckHorizon(int64_t horizon) const {
  const double hidden = model_->chain()->num_hidden();
  const double states = model_->num_components();
  // Chain::Ahead multiplies matrices, at most twice for each doubling and once, or goes on step by
  // step where states have durations.
  const double products = kMostAheadCost / (states * states * states);
  const double steps = has_durations_
                           ? std::floor(kMostAheadCost / (states * (hidden + states * states)))
                           : std::exp2(std::floor((products + 1) / 2)) - 1;
  if (!(steps >= 1 && hidden * states <= kMostAhead)) {
    return InvalidArgument(
        "outputs", absl::StrCat("got forecasts of a model with ", states, " states and ", hidden,
                                " things that may be hidden, must be others"));
  }
  const auto most =
      static_cast<int64_t>(std::min(steps, static_cast<double>(PredictionOutputs::kMaxHorizon)));
  if (horizon >= 1 && horizon <= most) return absl::OkStatus();
  return InvalidArgument(
      "forecast_horizon",
      absl::StrCat("got ", horizon, ", must be 1 to ", most,
                   most < PredictionOutputs::kMaxHorizon ? " for a model of this size" : ""));
}

absl::Status Predictor::CheckPaths(const Table& table, PredictionOutputs outputs,
                                   double max_bytes) const {
  if (!outputs.best_paths) return absl::OkStatus();
  return server::CheckPaths(*model_, table, outputs.num_paths, max_bytes);
}

double Predictor::BytesBesideBlocks(const Table& table, PredictionOutputs outputs,
                                    int num_threads) const {
  double bytes = 0;
  if (outputs.forecasts) {
    constexpr double kMatrices = 4;  // those that it is made of, too
    bytes += kMatrices * sizeof(double) * model_->chain()->num_hidden() * model_->num_components();
  }
  if (outputs.best_paths) {
    const auto at_once =
        static_cast<double>(std::min<int64_t>(num_threads, table.sequences()->size()));
    bytes += at_once * BytesOfPaths(*model_, table, outputs.num_paths);
  }
  return bytes;
}

int64_t Predictor::NumbersOf(const Model& model) {
  const int64_t parameters = model.parameters().size();
  const Chain* const chain = model.chain();
  if (chain == nullptr) return parameters;
  return parameters + int64_t{model.num_components()} * model.num_components() +
         chain->num_hidden();
}

double Predictor::CostOfRow() const {
  constexpr double kPasses = 8;  // forward and back, over all paths and over the best one
  const auto parameters = static_cast<double>(model_->parameters().size());
  const double of_chain = static_cast<double>(NumbersOf(*model_)) - parameters;
  return parameters + kPasses * of_chain;
}

int64_t Predictor::StateBytes() const {
  return sequential() ? 2 * model_->chain()->message_size() * int64_t{sizeof(double)} : 0;
}

// Whether there is room for messages, workspaces with the chain's numbers, and BytesBesideBlocks.
absl::Status Predictor::CheckChainBytes(const Table& table, const Partition& partition,
                                        PredictionOutputs outputs, bool to_end) const {
  constexpr double kCopies = 4;  // of the chain's numbers in a workspace: plain, logarithms, wide
  const Chain& chain = *model_->chain();
  const double walks = outputs.of_paths() || to_end ? 2 : 1;
  const auto rows = static_cast<double>(std::min<int64_t>(partition.block_rows, table.num_rows()));
  const double of_workspace = 2 * rows * static_cast<double>(model_->doubles_per_row()) +
                              kCopies * static_cast<double>(NumbersOf(*model_));
  const double messages = walks * (2 * static_cast<double>(partition.num_blocks) + 1) *
                          static_cast<double>(chain.message_size());
  const double bytes = sizeof(double) * (messages + (walks + 1) * of_workspace) +
                       BytesBesideBlocks(table, outputs, 1);
  if (bytes <= kMostChainBytes) return absl::OkStatus();
  return InvalidArgument(
      "rows",
      absl::StrCat("got ", table.num_rows(), " of them, which with ", chain.num_hidden(),
                   " things that may be hidden in each take ", static_cast<int64_t>(bytes),
                   " bytes of memory, must take at most ", static_cast<int64_t>(kMostChainBytes),
                   "; send fewer rows, or use a predict job"));
}

absl::StatusOr<BlockInference::Outlook> Predictor::OutlookOf(
    PredictionOutputs outputs, const std::function<bool()>& cancelled) const {
  BlockInference::Outlook outlook{.ahead = {}, .cells = forecasts_cells_};
  if (!outputs.forecasts) return outlook;
  const Chain& chain = *model_->chain();
  outlook.ahead.resize(static_cast<size_t>(chain.num_hidden()) *
                       static_cast<size_t>(model_->num_components()));
  absl::Status status = chain.Ahead(*prepared_, outputs.forecast_horizon, cancelled, outlook.ahead);
  if (!status.ok()) return status;
  return outlook;
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
      new Predictor(*std::move(model), std::move(prepared), options, theta));
}

// Whether the model can infer anything about the rows of `block`.
absl::Status Predictor::CheckBlock(const Table& table, const Block& block) const {
  if (absl::Status status = CheckCells(table, block); !status.ok()) return status;
  if (absl::Status status = model_->CheckRows(block, table.names()); !status.ok()) {
    return Reworded(status, absl::StrCat("rows", std::string(status.message())));
  }
  return absl::OkStatus();
}

struct Predictor::Walks {
  std::optional<SequenceWalk> all, best;
};

// Checks all rows before messages are made of them, and makes those that are wanted.
absl::Status Predictor::Walk(const Table& table, const Partition& partition,
                             PredictionOutputs outputs, const std::function<bool()>& cancelled,
                             const SequenceState* state, BlockBuffer& buffer, Walks& walks) const {
  for (int64_t b = 0; b < partition.num_blocks; ++b) {
    absl::Status status = CheckWanted(cancelled);
    if (status.ok()) {
      status = CheckBlock(table, table.Read(partition.first_row(b), partition.rows(b), buffer));
    }
    if (!status.ok()) return status;
  }
  const bool to_end = state != nullptr;
  const SequenceState from = to_end ? *state : SequenceState();
  walks.all.emplace(*model_, *prepared_, table, partition);
  absl::Status status =
      walks.all->Run({}, from.all, {.behind = outputs.smoothed(), .end = to_end}, cancelled);
  if (!status.ok() || !(outputs.of_paths() || to_end)) return status;
  walks.best.emplace(*model_, *prepared_, table, partition);
  return walks.best->Run(kBestPaths, from.best, {.behind = outputs.of_paths(), .end = to_end},
                         cancelled);
}

absl::StatusOr<Prediction> Predictor::Predict(const Table& table, PredictionOutputs outputs,
                                              const std::function<bool()>& cancelled,
                                              SequenceState* state) const {
  if (absl::Status status = CheckOutputs(outputs); !status.ok()) return status;
  const bool goes_on = state != nullptr && !state->all.empty();
  if (goes_on && (outputs.path_log_probabilities || outputs.best_paths)) {
    return InvalidArgument(
        "outputs",
        absl::StrCat("got ", outputs.best_paths ? "best paths" : "log-probabilities of paths",
                     " for a sequence that goes on, must be others; send the whole "
                     "sequence, or begin a new one"));
  }
  if (absl::Status status = CheckPaths(table, outputs, kMostPathBytes); !status.ok()) return status;
  const Partition partition = Partition::Make(table.num_rows(), model_->doubles_per_row());
  if (sequential()) {
    absl::Status status = CheckChainBytes(table, partition, outputs, state != nullptr);
    if (!status.ok()) return status;
  }
  const int max_rows = static_cast<int>(std::min<int64_t>(partition.block_rows, table.num_rows()));
  BlockBuffer buffer = table.MakeBuffer(max_rows);
  BlockBuffer path_buffer = table.MakeBuffer(max_rows);
  Walks walks;
  if (sequential()) {
    absl::Status status = Walk(table, partition, outputs, cancelled, state, buffer, walks);
    if (!status.ok()) return status;
  }
  const absl::StatusOr<BlockInference::Outlook> outlook = OutlookOf(outputs, cancelled);
  if (!outlook.ok()) return outlook.status();
  BlockInference rows(*model_, *prepared_, outputs, *outlook, max_rows);
  Prediction out = Prediction::Of(table, model_->num_components(), forecasts_cells_, outputs);
  int64_t sequence = -1;
  for (int64_t b = 0; b < partition.num_blocks; ++b) {
    if (absl::Status status = CheckWanted(cancelled); !status.ok()) return status;
    const int64_t first = partition.first_row(b);
    const Block block = walks.all.has_value() ? walks.all->Read(b, buffer)
                                              : table.Read(first, partition.rows(b), buffer);
    absl::Status status = walks.all.has_value() ? absl::OkStatus() : CheckBlock(table, block);
    if (status.ok()) {
      status = rows.Infer(block, walks.best.has_value() ? walks.best->Read(b, path_buffer) : block);
    }
    if (!status.ok()) return status;
    for (int i = 0; i < block.num_rows; ++i) {
      const auto row = static_cast<size_t>(block.first_row + i);
      const auto copy = [&](const RowArray& from, std::vector<double>& to) {
        if (!to.empty())
          from.CopyRow(block, i, to.data() + row * static_cast<size_t>(from.width()));
      };
      if (outputs.labels) out.labels[row] = rows.Label(block, i);
      copy(rows.posterior, out.posteriors);
      if (outputs.log_densities) out.log_densities[row] = rows.log_density(i);
      copy(rows.mean, out.imputed);
      copy(rows.variance, out.imputed_variances);
      copy(rows.filtered, out.filtered);
      if (outputs.decoded) out.decoded[row] = rows.MostProbable(block, i);
      copy(rows.forecast, out.forecasts);
      copy(rows.forecast_mean, out.forecast_means);
      copy(rows.forecast_variance, out.forecast_variances);
      copy(rows.residual, out.residuals);
      copy(rows.forecast_residual, out.forecast_residuals);
      if (!sequential()) continue;
      if (block.begins[i] != 0 || row == 0) ++sequence;
      const auto of_row = static_cast<size_t>(sequence);
      if (outputs.sequence_log_likelihoods) {
        out.sequence_log_likelihoods[of_row] += rows.log_density(i);
      }
      if (outputs.path_log_probabilities) {
        out.path_log_probabilities[of_row] += rows.path_log_density(i);
      }
    }
  }
  if (outputs.best_paths) {
    absl::Status status = FindPaths(table, outputs.num_paths, cancelled, out);
    if (!status.ok()) return status;
  }
  if (sequential() && state != nullptr) {
    state->all.assign(walks.all->end().begin(), walks.all->end().end());
    state->best.assign(walks.best->end().begin(), walks.best->end().end());
  }
  return out;
}

absl::Status Predictor::FindPaths(const Table& table, int num_paths,
                                  const std::function<bool()>& cancelled, Prediction& out) const {
  const Sequences& sequences = *table.sequences();
  const auto width = static_cast<size_t>(num_paths);
  SequencePaths finder(*model_, *prepared_, table);
  for (int64_t s = 0; s < sequences.size(); ++s) {
    if (absl::Status status = CheckWanted(cancelled); !status.ok()) return status;
    const absl::StatusOr<std::vector<Chain::RatedPath>> paths =
        finder.Find(s, num_paths, cancelled);
    if (!paths.ok()) return paths.status();
    for (size_t j = 0; j < paths->size(); ++j) {
      const Chain::RatedPath& path = (*paths)[j];
      out.best_path_log_probabilities[static_cast<size_t>(s) * width + j] = path.log_density;
      size_t at = static_cast<size_t>(sequences.first_row(s)) * width + j;
      for (const int state : path.components) {
        out.best_paths[at] = state;
        at += width;
      }
    }
  }
  return absl::OkStatus();
}

int Predictor::NumOutputColumns(PredictionOutputs outputs) const {
  const int num_components = model_->num_components();
  const int num_columns = model_->num_columns();
  int columns = 0;
  for (const bool of_one : {outputs.labels, outputs.log_densities, outputs.decoded,
                            outputs.sequence_log_likelihoods, outputs.path_log_probabilities}) {
    columns += of_one ? 1 : 0;
  }
  for (const bool of_states : {outputs.posteriors, outputs.filtered, outputs.forecasts}) {
    columns += of_states ? num_components : 0;
  }
  for (const bool of_columns : {outputs.imputed, outputs.imputed_variances, outputs.residuals,
                                outputs.forecast_residuals}) {
    columns += of_columns ? num_columns : 0;
  }
  if (outputs.forecasts && forecasts_cells_) columns += 2 * num_columns;
  return columns + PathColumns(outputs);
}

absl::Status Predictor::PredictRows(const Table& table, PredictionOutputs outputs,
                                    Pool::Share& share, std::stop_token stop,
                                    const std::function<void(int)>& rows_done, double* out) const {
  if (absl::Status status = CheckOutputs(outputs); !status.ok()) return status;
  Lanes lanes(table, model_->doubles_per_row(), share, stop);
  std::optional<Messages> all, best;
  if (sequential()) {
    absl::Status status =
        ForEachBlock(lanes, [&](int, const Block& block) { return CheckBlock(table, block); });
    if (!status.ok()) return status;
    all.emplace(*model_, table, lanes.partition(), share, stop);
    status = all->Run(*prepared_, {});
    if (status.ok() && outputs.of_paths()) {
      best.emplace(*model_, table, lanes.partition(), share, stop);
      status = best->Run(*prepared_, kBestPaths);
    }
    if (!status.ok()) return status;
  }
  const absl::StatusOr<BlockInference::Outlook> outlook =
      OutlookOf(outputs, [&stop] { return stop.stop_requested(); });
  if (!outlook.ok()) return outlook.status();
  std::vector<std::unique_ptr<BlockInference>> inferences(static_cast<size_t>(lanes.num_slots()));
  const int num_output_columns = NumOutputColumns(outputs);
  absl::Status status = ForEachBlock(lanes, [&](int slot, const Block& block) {
    std::unique_ptr<BlockInference>& rows = inferences[static_cast<size_t>(slot)];
    if (rows == nullptr) {
      rows = std::make_unique<BlockInference>(*model_, *prepared_, outputs, *outlook,
                                              lanes.max_rows());
    }
    absl::Status of_block = all.has_value() ? absl::OkStatus() : CheckBlock(table, block);
    if (!of_block.ok()) return of_block;
    of_block = rows->Infer(all.has_value() ? all->Informed(block) : block,
                           best.has_value() ? best->Informed(block) : block);
    if (!of_block.ok()) return of_block;
    double* row = out + block.first_row * num_output_columns;
    for (int i = 0; i < block.num_rows; ++i) {
      const auto copy = [&](bool wanted, const RowArray& from) {
        if (wanted) row = from.CopyRow(block, i, row);
      };
      if (outputs.labels) *row++ = rows->Label(block, i);
      copy(outputs.posteriors, rows->posterior);
      if (outputs.log_densities) *row++ = rows->log_density(i);
      copy(outputs.imputed, rows->mean);
      copy(outputs.imputed_variances, rows->variance);
      copy(outputs.filtered, rows->filtered);
      if (outputs.decoded) *row++ = rows->MostProbable(block, i);
      copy(outputs.forecasts, rows->forecast);
      copy(outputs.forecasts, rows->forecast_mean);
      copy(outputs.forecasts, rows->forecast_variance);
      copy(outputs.residuals, rows->residual);
      copy(outputs.forecast_residuals, rows->forecast_residual);
      if (outputs.sequence_log_likelihoods) *row++ = rows->log_density(i);
      if (outputs.path_log_probabilities) *row++ = rows->path_log_density(i);
      row += PathColumns(outputs);
    }
    rows_done(block.num_rows);
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  double* last = out + num_output_columns - PathColumns(outputs);
  if (outputs.best_paths) {
    status = WritePaths(table, outputs, share, stop, last);
    if (!status.ok()) return status;
  }
  if (outputs.path_log_probabilities) {
    SumBySequence(*table.sequences(), num_output_columns, --last);
  }
  if (outputs.sequence_log_likelihoods) {
    SumBySequence(*table.sequences(), num_output_columns, --last);
  }
  return absl::OkStatus();
}

// Writes the columns of the best paths; `out` is where they begin in the first row.
absl::Status Predictor::WritePaths(const Table& table, PredictionOutputs outputs,
                                   Pool::Share& share, const std::stop_token& stop,
                                   double* out) const {
  const Sequences& sequences = *table.sequences();
  const int num_output_columns = NumOutputColumns(outputs);
  const int num_paths = outputs.num_paths;
  std::vector<std::unique_ptr<SequencePaths>> finders(static_cast<size_t>(share.num_slots()));
  share.For(sequences.size(), [&](int64_t s, int slot) {
    if (stop.stop_requested()) return;
    std::unique_ptr<SequencePaths>& finder = finders[static_cast<size_t>(slot)];
    if (finder == nullptr) finder = std::make_unique<SequencePaths>(*model_, *prepared_, table);
    const absl::StatusOr<std::vector<Chain::RatedPath>> paths =
        finder->Find(s, num_paths, [&stop] { return stop.stop_requested(); });
    if (!paths.ok()) return;  // stopped
    double* row = out + sequences.first_row(s) * num_output_columns;
    for (int64_t i = 0; i < sequences.length(s); ++i, row += num_output_columns) {
      for (int j = 0; j < num_paths; ++j) {
        const Chain::RatedPath* const path =
            static_cast<size_t>(j) < paths->size() ? &(*paths)[static_cast<size_t>(j)] : nullptr;
        row[j] = path == nullptr ? -1 : path->components[static_cast<size_t>(i)];
        row[num_paths + j] =
            path == nullptr ? -std::numeric_limits<double>::infinity() : path->log_density;
      }
    }
  });
  return stop.stop_requested() ? absl::CancelledError("stopped on request") : absl::OkStatus();
}

absl::StatusOr<SampledRows> Predictor::Sample(int64_t num_rows, uint64_t seed,
                                              const std::function<bool()>& cancelled,
                                              const Sequences* sequences) const {
  if (!model_->has_likelihood()) {
    return InvalidArgument("model", absl::StrCat("got a ", std::string(family_),
                                                 ", which is no distribution to draw from; must be "
                                                 "a mixture or a hidden Markov model"));
  }
  const Chain* const chain = model_->chain();
  const auto num_columns = static_cast<size_t>(model_->num_columns());
  SampledRows out;
  out.rows.resize(static_cast<size_t>(num_rows) * num_columns);
  out.labels.resize(static_cast<size_t>(num_rows));
  Random random(seed, /*stream=*/0);
  int hidden = -1;
  for (int64_t i = 0; i < num_rows; ++i) {
    if (i % kRowsBetweenStops == 0) {
      if (absl::Status status = CheckWanted(cancelled); !status.ok()) return status;
    }
    const auto row = static_cast<size_t>(i);
    const std::span<double> cells = std::span(out.rows).subspan(row * num_columns, num_columns);
    if (chain == nullptr) {
      out.labels[row] = model_->Sample(*prepared_, random, cells);
      continue;
    }
    if (sequences != nullptr && sequences->Begins(i)) hidden = -1;
    hidden = chain->SampleNext(*prepared_, hidden, random, cells);
    out.labels[row] = chain->component(hidden);
  }
  return out;
}

}  // namespace emserve::server
