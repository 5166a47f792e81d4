// Messages between the blocks of a table that one thread walks, from where a sequence stands.
//
// Core's Messages (core/em/messages.h) are for whole tables and many threads. Here the first rows
// may go on with a sequence of an earlier table, and what the last ones say is for a later one.
#ifndef EMSERVE_SERVER_REGISTRY_SEQUENCE_WALK_H_
#define EMSERVE_SERVER_REGISTRY_SEQUENCE_WALK_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "core/data/table.h"
#include "core/em/chain.h"
#include "core/em/model.h"

namespace emserve::server {

// Not thread-safe. All arguments outlive it. Memory: two messages a block.
class SequenceWalk {
 public:
  // What to find out.
  struct Goals {
    bool behind = false;  // what rows behind each block say, too
    bool end = false;     // what the table's rows say about the state of the last one
  };

  // Preconditions: model.chain() != nullptr, and `table` has sequences.
  SequenceWalk(const Model& model, const Model::Prepared& prepared, const Table& table,
               const Partition& partition);

  // `before` is what is known of the row before the first one, which then goes on with its
  // sequence; empty: that begins a sequence. Cancelled when `cancelled`, which is asked before each
  // block and may be null, says so. O(rows x cost of a row).
  absl::Status Run(const Assignment& assignment, std::span<const double> before, Goals goals,
                   const std::function<bool()>& cancelled);

  // Block `b` of the partition with its messages. `buffer` is like table.MakeBuffer's.
  Block Read(int64_t b, BlockBuffer& buffer) const;

  // After a Run for the end.
  std::span<const double> end() const {
    return std::span(before_).subspan(partition_.num_blocks * size_, size_);
  }

 private:
  std::span<double> Before(int64_t b) { return std::span(before_).subspan(b * size_, size_); }
  std::span<double> Behind(int64_t b) { return std::span(behind_).subspan(b * size_, size_); }
  void WalkBack(int64_t b, const Assignment& assignment);

  const Chain& chain_;
  const Model::Prepared& prepared_;
  const Table& table_;
  const Partition partition_;
  const int64_t size_;  // of a message
  BlockBuffer buffer_;
  const std::unique_ptr<Model::Workspace> workspace_;
  bool goes_on_ = false;        // the first row, with an earlier sequence
  std::vector<double> before_;  // [num_blocks + 1, size_]
  std::vector<double> behind_;  // [num_blocks, size_]
};

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_REGISTRY_SEQUENCE_WALK_H_
