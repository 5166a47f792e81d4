// Messages across the boundaries of a table's blocks, for models whose rows depend on each other.
#ifndef EMSERVE_CORE_EM_MESSAGES_H_
#define EMSERVE_CORE_EM_MESSAGES_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "core/data/table.h"
#include "core/em/chain.h"
#include "core/em/model.h"
#include "core/runtime/pool.h"

namespace emserve {

// Of one table cut by one partition; reusable, not thread-safe. All references outlive it.
//
// Memory: DoublesOf.
class Messages {
 public:
  // Preconditions: model.chain() != nullptr. `cancelled`, which may be null, says from any thread
  // whether the work is no longer wanted.
  //
  // `before` is what is known of the row before the table's first one (Chain::Forward), which then
  // goes on with a sequence of an earlier table; empty: that row begins a sequence.
  Messages(const Model& model, const Table& table, const Partition& partition, Pool::Share& share,
           std::function<bool()> cancelled, std::span<const double> before = {});

  // Two messages a block, and where the model has transfers one for every block at most: what a
  // table takes whose blocks all share sequences. Precondition as above.
  static double DoublesOf(const Model& model, const Partition& partition);

  // Computes all messages under `prepared`. Only rows between a block's boundary and the nearest
  // sequence's are read: where sequences are short, few. Blocks with transfers run in parallel;
  // without them the two directions do. The same bits with any number of threads. Cancelled soon
  // after `cancelled` is true.
  //
  // `end` becomes what the table's rows say about the state of the last one, for a table that goes
  // on with its sequence, of Chain::message_size(); empty: not wanted.
  absl::Status Run(const Model::Prepared& prepared, const Assignment& assignment,
                   std::span<double> end = {});

  // `block`, one of the partition's, with its messages.
  Block Informed(Block block) const;

 private:
  // Rows of a block that depend on the block before it, and that the one behind depends on.
  struct Piece {
    int64_t block = 0;
    int head_rows = 0;       // at its start, that continue a sequence; 0: none
    int tail_begin = 0;      // where its last sequence begins; 0 with head rows: before the block
    bool continues = false;  // into the next block
    bool whole() const { return head_rows > 0 && tail_begin == 0; }  // no sequence begins in it
  };
  struct Slot {
    Slot(const Model& model, const Table& table, int max_rows)
        : buffer(table.MakeBuffer(max_rows)), workspace(model.NewWorkspace(max_rows)) {}
    BlockBuffer buffer;
    std::unique_ptr<Model::Workspace> workspace;
  };

  Slot& SlotOf(int slot);
  std::span<double> Before(int64_t block);
  std::span<double> Behind(int64_t block);
  std::span<double> TransferOf(size_t piece);
  Block Read(int64_t block, int begin, int end, Slot& slot) const;
  bool Stopped();
  void RunPiece(size_t piece, const Model::Prepared& prepared, const Assignment& assignment,
                Slot& slot);
  void RunForward(const Model::Prepared& prepared, const Assignment& assignment, Slot& slot,
                  std::span<double> end);
  void RunBackward(const Model::Prepared& prepared, const Assignment& assignment, Slot& slot);

  const Model& model_;
  const Chain& chain_;
  const Table& table_;
  const Partition partition_;
  Pool::Share& share_;
  const std::function<bool()> cancelled_;
  std::atomic<bool> stopped_ = false;
  const int64_t size_;             // of a message
  const int64_t transfer_size_;    // 0: none are used
  std::vector<Piece> pieces_;      // of the blocks that share a sequence with a neighbour, in order
  std::vector<double> before_;     // [num_blocks, size_]
  std::vector<double> behind_;     // [num_blocks, size_]
  std::vector<double> transfers_;  // [pieces, transfer_size_]
  std::vector<std::unique_ptr<Slot>> slots_;            // made when first used
  std::vector<unsigned char> has_before_, has_behind_;  // [num_blocks]
  // [block_rows] Block::begins of the first block, if that goes on with an earlier sequence.
  std::vector<unsigned char> first_begins_;
};

}  // namespace emserve

#endif  // EMSERVE_CORE_EM_MESSAGES_H_
