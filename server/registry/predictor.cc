#include "server/registry/predictor.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/em/messages.h"
#include "core/runtime/random.h"
#include "server/errors.h"
#include "server/registry/block_cells.h"
#include "server/registry/sequence_paths.h"

namespace emserve::server {
namespace {

constexpr int64_t kRowsBetweenStops = 1024;

absl::Status CheckWanted(const std::function<bool()>& cancelled) {
  if (cancelled == nullptr || !cancelled()) return absl::OkStatus();
  return absl::CancelledError("no longer wanted");
}

// Of what runs in several threads and may fail: of the errors so far the first thing's counts.
class FirstError {
 public:
  bool any() const { return any_; }
  void Set(int64_t index, absl::Status status) {
    const std::lock_guard lock(mutex_);
    if (index < index_) status_ = std::move(status);
    index_ = std::min(index_, index);
    any_ = true;
  }
  const absl::Status& status() const { return status_; }

 private:
  std::atomic<bool> any_ = false;
  std::mutex mutex_;
  int64_t index_ = std::numeric_limits<int64_t>::max();
  absl::Status status_;
};

// Calls `body` for every block, from several threads, until one fails or `cancelled` is true.
absl::Status ForEachBlock(Lanes& lanes, const std::function<bool()>& cancelled,
                          absl::FunctionRef<absl::Status(int slot, const Block& block)> body) {
  FirstError error;
  absl::Status status = lanes.ForEachBlock([&](int, int slot, const Block& block) {
    if (error.any()) return;
    absl::Status of_block = CheckWanted(cancelled);
    if (of_block.ok()) of_block = body(slot, block);
    if (!of_block.ok()) error.Set(block.first_row, std::move(of_block));
  });
  return error.any() ? error.status() : status;
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

// Whether states last as long as durations say.
bool HasDurations(const ModelOptions& options) {
  const auto* const hmm = std::get_if<HmmOptions>(&options);
  return hmm != nullptr && hmm->durations != DurationKind::kGeometric;
}

constexpr Assignment kBestPaths{.kind = Assignment::Kind::kHard};

}  // namespace

// Messages of a table, by all paths and by the best ones, and what is behind its end.
struct Predictor::Walks {
  std::optional<Messages> all, best;
  SequenceState end;
};

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

// Of a model of sequences: checks all rows before messages are made of them, and makes those.
absl::Status Predictor::Walk(const Table& table, PredictionOutputs outputs, Lanes& lanes,
                             Pool::Share& share, const std::function<bool()>& cancelled,
                             SequenceState* state, Walks& walks) const {
  absl::Status status = ForEachBlock(
      lanes, cancelled, [&](int, const Block& block) { return CheckBlock(table, block); });
  if (!status.ok()) return status;
  const auto run = [&](const Assignment& assignment, std::vector<double> SequenceState::*where,
                       std::optional<Messages>& messages) {
    const std::span<const double> before =
        state == nullptr ? std::span<const double>() : std::span<const double>(state->*where);
    std::vector<double>& end = walks.end.*where;
    if (state != nullptr) end.resize(static_cast<size_t>(model_->chain()->message_size()));
    messages.emplace(*model_, table, lanes.partition(), share, cancelled, before);
    return messages->Run(*prepared_, assignment, end);
  };
  status = run({}, &SequenceState::all, walks.all);
  if (!status.ok() || !(outputs.of_paths() || state != nullptr)) return status;
  return run(kBestPaths, &SequenceState::best, walks.best);
}

absl::Status Predictor::Infer(
    const Table& table, PredictionOutputs outputs, Pool::Share& share,
    const std::function<bool()>& cancelled, SequenceState* state,
    absl::FunctionRef<void(const BlockInference&, const Block&)> use) const {
  Lanes lanes(table, model_->doubles_per_row(), share, std::stop_token());
  Walks walks;
  if (sequential()) {
    absl::Status status = Walk(table, outputs, lanes, share, cancelled, state, walks);
    if (!status.ok()) return status;
  }
  const absl::StatusOr<BlockInference::Outlook> outlook = OutlookOf(outputs, cancelled);
  if (!outlook.ok()) return outlook.status();
  std::vector<std::unique_ptr<BlockInference>> inferences(static_cast<size_t>(lanes.num_slots()));
  absl::Status status = ForEachBlock(lanes, cancelled, [&](int slot, const Block& block) {
    std::unique_ptr<BlockInference>& rows = inferences[static_cast<size_t>(slot)];
    if (rows == nullptr) {
      rows = std::make_unique<BlockInference>(*model_, *prepared_, outputs, *outlook,
                                              lanes.max_rows());
    }
    absl::Status of_block = sequential() ? absl::OkStatus() : CheckBlock(table, block);
    if (!of_block.ok()) return of_block;
    of_block = rows->Infer(walks.all.has_value() ? walks.all->Informed(block) : block,
                           walks.best.has_value() ? walks.best->Informed(block) : block);
    if (of_block.ok()) use(*rows, block);
    return of_block;
  });
  if (status.ok() && state != nullptr && sequential()) *state = std::move(walks.end);
  return status;
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
  if (sequential()) {
    absl::Status status = CheckChainBytes(table, outputs, state != nullptr);
    if (!status.ok()) return status;
  }
  Pool pool(1);
  Pool::Share share(pool);
  Prediction out = Prediction::Of(table, model_->num_components(), forecasts_cells_, outputs);
  SequenceState end = state == nullptr ? SequenceState() : *state;
  const auto add = [&](const BlockInference& rows, const Block& block) {
    for (int i = 0; i < block.num_rows; ++i) {
      const int64_t row = block.first_row + i;
      const auto at = static_cast<size_t>(row);
      const auto copy = [&](const RowArray& from, std::vector<double>& to) {
        if (to.empty()) return;
        from.CopyRow(block, i, to.data() + at * static_cast<size_t>(from.width()));
      };
      if (outputs.labels) out.labels[at] = rows.Label(block, i);
      copy(rows.posterior, out.posteriors);
      if (outputs.log_densities) out.log_densities[at] = rows.log_density(i);
      copy(rows.mean, out.imputed);
      copy(rows.variance, out.imputed_variances);
      copy(rows.filtered, out.filtered);
      if (outputs.decoded) out.decoded[at] = rows.MostProbable(block, i);
      copy(rows.forecast, out.forecasts);
      copy(rows.forecast_mean, out.forecast_means);
      copy(rows.forecast_variance, out.forecast_variances);
      copy(rows.residual, out.residuals);
      copy(rows.forecast_residual, out.forecast_residuals);
      if (!(outputs.sequence_log_likelihoods || outputs.path_log_probabilities)) continue;
      const auto sequence = static_cast<size_t>(table.sequences()->Of(row));
      if (outputs.sequence_log_likelihoods) {
        out.sequence_log_likelihoods[sequence] += rows.log_density(i);
      }
      if (outputs.path_log_probabilities) {
        out.path_log_probabilities[sequence] += rows.path_log_density(i);
      }
    }
  };
  absl::Status status =
      Infer(table, outputs, share, cancelled, state == nullptr ? nullptr : &end, add);
  if (status.ok() && outputs.best_paths) {
    const auto width = static_cast<size_t>(outputs.num_paths);
    status = FindPaths(
        table, outputs.num_paths, share, cancelled, [&](int64_t s, const RatedPaths& paths) {
          for (size_t j = 0; j < paths.size(); ++j) {
            out.best_path_log_probabilities[static_cast<size_t>(s) * width + j] =
                paths[j].log_density;
            size_t at = static_cast<size_t>(table.sequences()->first_row(s)) * width + j;
            for (const int component : paths[j].components) {
              out.best_paths[at] = component;
              at += width;
            }
          }
        });
  }
  if (!status.ok()) return status;
  if (state != nullptr) *state = std::move(end);
  return out;
}

absl::Status Predictor::FindPaths(const Table& table, int num_paths, Pool::Share& share,
                                  const std::function<bool()>& cancelled,
                                  absl::FunctionRef<void(int64_t, const RatedPaths&)> use) const {
  std::vector<std::unique_ptr<SequencePaths>> finders(static_cast<size_t>(share.num_slots()));
  FirstError error;
  share.For(table.sequences()->size(), [&](int64_t s, int slot) {
    if (error.any()) return;
    absl::Status status = CheckWanted(cancelled);
    if (status.ok()) {
      std::unique_ptr<SequencePaths>& finder = finders[static_cast<size_t>(slot)];
      if (finder == nullptr) finder = std::make_unique<SequencePaths>(*model_, *prepared_, table);
      const absl::StatusOr<RatedPaths> paths = finder->Find(s, num_paths, cancelled);
      if (paths.ok()) use(s, *paths);
      status = paths.status();
    }
    if (!status.ok()) error.Set(s, std::move(status));
  });
  return error.status();
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
                                    Pool::Share& share, const std::function<bool()>& cancelled,
                                    const std::function<void(int)>& rows_done, double* out) const {
  if (absl::Status status = CheckOutputs(outputs); !status.ok()) return status;
  const int num_output_columns = NumOutputColumns(outputs);
  const auto write = [&](const BlockInference& rows, const Block& block) {
    double* row = out + block.first_row * num_output_columns;
    for (int i = 0; i < block.num_rows; ++i) {
      const auto copy = [&](bool wanted, const RowArray& from) {
        if (wanted) row = from.CopyRow(block, i, row);
      };
      if (outputs.labels) *row++ = rows.Label(block, i);
      copy(outputs.posteriors, rows.posterior);
      if (outputs.log_densities) *row++ = rows.log_density(i);
      copy(outputs.imputed, rows.mean);
      copy(outputs.imputed_variances, rows.variance);
      copy(outputs.filtered, rows.filtered);
      if (outputs.decoded) *row++ = rows.MostProbable(block, i);
      copy(outputs.forecasts, rows.forecast);
      copy(outputs.forecasts, rows.forecast_mean);
      copy(outputs.forecasts, rows.forecast_variance);
      copy(outputs.residuals, rows.residual);
      copy(outputs.forecast_residuals, rows.forecast_residual);
      if (outputs.sequence_log_likelihoods) *row++ = rows.log_density(i);
      if (outputs.path_log_probabilities) *row++ = rows.path_log_density(i);
      row += PathColumns(outputs);
    }
    rows_done(block.num_rows);
  };
  absl::Status status = Infer(table, outputs, share, cancelled, /*state=*/nullptr, write);
  if (!status.ok()) return status;
  double* last = out + num_output_columns - PathColumns(outputs);
  if (outputs.best_paths) {
    const int num_paths = outputs.num_paths;
    const Sequences& sequences = *table.sequences();
    status = FindPaths(table, num_paths, share, cancelled, [&](int64_t s, const RatedPaths& paths) {
      double* row = last + sequences.first_row(s) * num_output_columns;
      for (int64_t i = 0; i < sequences.length(s); ++i, row += num_output_columns) {
        for (int j = 0; j < num_paths; ++j) {
          const auto at = static_cast<size_t>(j);
          const bool found = at < paths.size();
          row[j] = found ? paths[at].components[static_cast<size_t>(i)] : -1;
          row[num_paths + j] =
              found ? paths[at].log_density : -std::numeric_limits<double>::infinity();
        }
      }
    });
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
