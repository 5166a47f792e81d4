// What a model can be asked, and what the answers cost: known before anything is computed.
#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "core/em/messages.h"
#include "server/errors.h"
#include "server/registry/predictor.h"
#include "server/registry/sequence_paths.h"

namespace emserve::server {
namespace {

// Of what Chain::Ahead takes: numbers, and multiplications, some seconds' worth.
constexpr double kMostAhead = 1 << 24;
constexpr double kMostAheadCost = 4e9;

}  // namespace

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
absl::Status Predictor::CheckChainBytes(const Table& table, PredictionOutputs outputs,
                                        bool to_end) const {
  constexpr double kCopies = 4;  // of the chain's numbers in a workspace: plain, logarithms, wide
  const Partition partition = Partition::Make(table.num_rows(), model_->doubles_per_row());
  const Chain& chain = *model_->chain();
  const double walks = outputs.of_paths() || to_end ? 2 : 1;
  const double of_workspace =
      2.0 * partition.block_rows * static_cast<double>(model_->doubles_per_row()) +
      kCopies * static_cast<double>(NumbersOf(*model_));
  const double messages = walks * Messages::DoublesOf(*model_, partition);
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

}  // namespace emserve::server
