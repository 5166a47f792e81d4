#include "core/em/stepwise.h"

#include <algorithm>
#include <utility>

namespace emserve {
namespace {

constexpr int kMaxLanes = 16;

int64_t NumBatches(const Partition& partition, int64_t batch_rows) {
  const int64_t blocks =
      std::max<int64_t>(1, (std::min(batch_rows, partition.num_rows) + partition.block_rows - 1) /
                               partition.block_rows);
  return (partition.num_blocks + blocks - 1) / blocks;
}

}  // namespace

MiniBatches::MiniBatches(const Model& model, const Table& table, int64_t batch_rows,
                         Pool::Share& share, std::stop_token stop)
    : model_(model),
      table_(table),
      partition_(Partition::Make(table.num_rows(), model.doubles_per_row())),
      num_batches_(NumBatches(partition_, batch_rows)),
      share_(share),
      stop_(std::move(stop)),
      prepared_(model.NewPrepared()),
      slots_(share.num_slots()) {
  const int64_t blocks = (partition_.num_blocks + num_batches_ - 1) / num_batches_;
  sums_.resize(std::clamp<int64_t>(blocks, 1, kMaxLanes));
  for (Sums& sums : sums_) sums.statistics.resize(model.statistics().size());
}

// Batch b has the blocks b, b + num_batches, b + 2 num_batches, ...; lanes take turns.
absl::StatusOr<double> MiniBatches::Run(int64_t batch, std::span<const double> theta) {
  if (absl::Status status = model_.Prepare(theta, *prepared_); !status.ok()) return status;
  const auto num_lanes = static_cast<int64_t>(sums_.size());
  share_.For(num_lanes, [&](int64_t lane, int slot) {
    Slot& mine = slots_[slot];
    if (mine.workspace == nullptr) {
      mine.workspace = model_.NewWorkspace(partition_.block_rows);
      mine.buffer = std::make_unique<BlockBuffer>(table_.MakeBuffer(partition_.block_rows));
    }
    Sums& sums = sums_[lane];
    std::fill(sums.statistics.begin(), sums.statistics.end(), 0.0);
    sums.log_likelihood = sums.weight = 0;
    for (int64_t b = batch + lane * num_batches_; b < partition_.num_blocks;
         b += num_lanes * num_batches_) {
      if (stop_.stop_requested()) return;
      const Block block = table_.Read(partition_.first_row(b), partition_.rows(b), *mine.buffer);
      sums.log_likelihood += model_.EStep(*prepared_, block, {}, *mine.workspace, sums.statistics);
      for (int i = 0; i < block.num_rows; ++i) sums.weight += block.weights[i];
    }
  });
  if (stop_.stop_requested()) return absl::CancelledError("stop was requested");
  Sums& total = sums_[0];
  for (size_t lane = 1; lane < sums_.size(); ++lane) {
    for (size_t i = 0; i < total.statistics.size(); ++i) {
      total.statistics[i] += sums_[lane].statistics[i];
    }
    total.log_likelihood += sums_[lane].log_likelihood;
    total.weight += sums_[lane].weight;
  }
  return total.log_likelihood;
}

}  // namespace emserve
