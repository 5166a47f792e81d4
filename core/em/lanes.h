// Walking over a table block by block, in lanes that run in parallel.
//
// Everything that reads a whole table (expectations, starts, criteria, predictions) goes through
// here, so the stop token, the buffers and the order of the sums are handled once.
#ifndef EMSERVE_CORE_EM_LANES_H_
#define EMSERVE_CORE_EM_LANES_H_

#include <cstdint>
#include <optional>
#include <stop_token>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "core/data/table.h"
#include "core/runtime/pool.h"

namespace emserve {

// One walker over one table; reusable, not thread-safe. `table` and `share` outlive it.
class Lanes {
 public:
  // `doubles_per_row` and `doubles_per_lane` as Partition::Make takes them.
  Lanes(const Table& table, int64_t doubles_per_row, Pool::Share& share, std::stop_token stop,
        int64_t doubles_per_lane = 0);

  int num_lanes() const { return partition_.num_lanes; }
  int num_slots() const { return share_.num_slots(); }
  int max_rows() const { return partition_.block_rows; }
  const Partition& partition() const { return partition_; }
  // Whether `block` is the first of `lane`.
  bool Begins(int lane, const Block& block) const {
    return block.first_row == partition_.first_row(partition_.first_block(lane));
  }

  // Calls body(lane, slot, block) once for every block. Blocks of one lane come in order; lanes may
  // run at the same time, then with different slots. What a lane adds up must be kept per lane and
  // merged in lane order for results that do not depend on threads. Cancelled, with some blocks
  // left out, when the stop token asks for it. Allocates nothing once the buffers are warm.
  absl::Status ForEachBlock(absl::FunctionRef<void(int lane, int slot, const Block& block)> body);

 private:
  bool RunLane(int lane, int slot,
               absl::FunctionRef<void(int lane, int slot, const Block& block)> body);

  const Table& table_;
  const Partition partition_;
  Pool::Share& share_;
  const std::stop_token stop_;
  std::vector<std::optional<BlockBuffer>> buffers_;  // per slot, made when first used
  std::optional<Block> only_block_;  // of a table that fits one block: read once, kept
};

}  // namespace emserve

#endif  // EMSERVE_CORE_EM_LANES_H_
