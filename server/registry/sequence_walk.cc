#include "server/registry/sequence_walk.h"

#include <algorithm>

namespace emserve::server {
namespace {

int MaxRows(const Partition& partition) {
  return static_cast<int>(std::min<int64_t>(partition.block_rows, partition.num_rows));
}

}  // namespace

SequenceWalk::SequenceWalk(const Model& model, const Model::Prepared& prepared, const Table& table,
                           const Partition& partition)
    : chain_(*model.chain()),
      prepared_(prepared),
      table_(table),
      partition_(partition),
      size_(chain_.message_size()),
      buffer_(table.MakeBuffer(MaxRows(partition))),
      workspace_(model.NewWorkspace(MaxRows(partition))),
      before_((partition.num_blocks + 1) * size_),
      behind_(partition.num_blocks * size_) {}

Block SequenceWalk::Read(int64_t b, BlockBuffer& buffer) const {
  Block block = table_.Read(partition_.first_row(b), partition_.rows(b), buffer);
  if (b == 0 && goes_on_) buffer.begins()[0] = 0;
  if (buffer.begins()[0] == 0) block.before = before_.data() + b * size_;
  if (block.continues) block.behind = behind_.data() + b * size_;
  return block;
}

absl::Status SequenceWalk::Run(const Assignment& assignment, std::span<const double> before,
                               Goals goals, const std::function<bool()>& cancelled) {
  goes_on_ = !before.empty();
  std::copy(before.begin(), before.end(), before_.begin());
  const int64_t last = partition_.num_blocks - 1;
  const auto stop = [&] { return cancelled != nullptr && cancelled(); };
  for (int64_t b = 0; b <= last; ++b) {
    if (stop()) return absl::CancelledError("the caller has gone");
    if (b == last && !goals.end) break;
    const Block block = Read(b, buffer_);
    if (!block.continues && b < last) continue;
    chain_.Forward(prepared_, block, assignment, *workspace_, Before(b + 1));
  }
  if (!goals.behind) return absl::OkStatus();
  for (int64_t b = last; b > 0; --b) {
    if (stop()) return absl::CancelledError("the caller has gone");
    WalkBack(b, assignment);
  }
  return absl::OkStatus();
}

// What the rows of block `b` and those behind it say about the row before the block.
void SequenceWalk::WalkBack(int64_t b, const Assignment& assignment) {
  const Sequences& sequences = *table_.sequences();
  const int64_t first = partition_.first_row(b);
  const int64_t end = first + partition_.rows(b);
  const int64_t s = sequences.Of(first);
  if (sequences.first_row(s) == first) return;
  const int64_t sequence_end = sequences.first_row(s + 1);
  Block head = table_.Read(first, static_cast<int>(std::min(sequence_end, end) - first), buffer_);
  head.behind = sequence_end > end ? Behind(b).data() : nullptr;
  chain_.Backward(prepared_, head, assignment, *workspace_, Behind(b - 1));
  if (assignment.kind != Assignment::Kind::kPosterior) {
    chain_.Choose(assignment, first - 1, Before(b), Behind(b - 1));
  }
}

}  // namespace emserve::server
