#include "core/em/lanes.h"

#include <atomic>
#include <utility>

namespace emserve {

Lanes::Lanes(const Table& table, int64_t doubles_per_row, Pool::Share& share, std::stop_token stop,
             int64_t doubles_per_lane)
    : table_(table),
      partition_(Partition::Make(table.num_rows(), doubles_per_row, doubles_per_lane)),
      share_(share),
      stop_(std::move(stop)),
      buffers_(share.num_slots()) {}

absl::Status Lanes::ForEachBlock(
    absl::FunctionRef<void(int lane, int slot, const Block& block)> body) {
  bool finished = true;
  if (partition_.num_lanes == 1) {
    finished = RunLane(0, 0, body);  // nothing to hand over
  } else {
    std::atomic<bool> all_finished = true;
    share_.For(partition_.num_lanes, [&](int64_t lane, int slot) {
      if (!RunLane(static_cast<int>(lane), slot, body)) {
        all_finished.store(false, std::memory_order_relaxed);
      }
    });
    finished = all_finished.load();
  }
  if (!finished) return absl::CancelledError("stop was requested");
  return absl::OkStatus();
}

bool Lanes::RunLane(int lane, int slot,
                    absl::FunctionRef<void(int lane, int slot, const Block& block)> body) {
  std::optional<BlockBuffer>& buffer = buffers_[slot];
  if (!buffer) buffer.emplace(table_.MakeBuffer(partition_.block_rows));
  const int64_t end = partition_.first_block(lane + 1);
  for (int64_t b = partition_.first_block(lane); b < end; ++b) {
    if (stop_.stop_requested()) return false;
    if (partition_.num_blocks == 1) {
      if (!only_block_) only_block_ = table_.Read(0, partition_.rows(0), *buffer);
      body(lane, slot, *only_block_);
    } else {
      body(lane, slot, table_.Read(partition_.first_row(b), partition_.rows(b), *buffer));
    }
  }
  return true;
}

}  // namespace emserve
