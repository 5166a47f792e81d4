#include "core/em/messages.h"

#include <algorithm>
#include <atomic>
#include <utility>

namespace emserve {
namespace {

// Pieces that one index of a parallel loop takes.
constexpr int64_t kPiecesAtOnce = 8;

}  // namespace

Messages::Messages(const Model& model, const Table& table, const Partition& partition,
                   Pool::Share& share, std::stop_token stop)
    : model_(model),
      chain_(*model.chain()),
      table_(table),
      partition_(partition),
      share_(share),
      stop_(std::move(stop)),
      size_(chain_.message_size()),
      transfer_size_(chain_.transfer_size()),
      slots_(std::max(2, share.num_slots())) {
  if (partition.num_blocks == 1) return;
  const Sequences one(table.num_rows());
  const Sequences& sequences = table.sequences() != nullptr ? *table.sequences() : one;
  for (int64_t b = 0; b < partition.num_blocks; ++b) {
    const int64_t first = partition.first_row(b);
    const int64_t end = first + partition.rows(b);
    const int64_t s = sequences.Of(first);
    const int64_t last = sequences.Of(end - 1);
    Piece piece{.block = b};
    if (sequences.first_row(s) < first) {
      piece.head_rows = static_cast<int>(std::min(sequences.first_row(s + 1), end) - first);
    }
    piece.tail_begin = static_cast<int>(std::max<int64_t>(sequences.first_row(last) - first, 0));
    piece.continues = sequences.first_row(last + 1) > end;
    if (piece.head_rows > 0 || piece.continues) pieces_.push_back(piece);
  }
  before_.resize(partition.num_blocks * size_);
  behind_.resize(partition.num_blocks * size_);
  has_before_.resize(partition.num_blocks);
  has_behind_.resize(partition.num_blocks);
  for (const Piece& piece : pieces_) {
    has_before_[piece.block] = piece.head_rows > 0;
    has_behind_[piece.block] = piece.continues;
  }
  transfers_.resize(pieces_.size() * transfer_size_);
}

Block Messages::Informed(Block block) const {
  if (has_before_.empty()) return block;
  const int64_t b = block.first_row / partition_.block_rows;
  if (has_before_[b]) block.before = before_.data() + b * size_;
  if (has_behind_[b]) block.behind = behind_.data() + b * size_;
  return block;
}

std::span<double> Messages::Before(int64_t block) {
  return std::span(before_).subspan(block * size_, size_);
}
std::span<double> Messages::Behind(int64_t block) {
  return std::span(behind_).subspan(block * size_, size_);
}
std::span<double> Messages::TransferOf(size_t piece) {
  return std::span(transfers_).subspan(piece * transfer_size_, transfer_size_);
}

Messages::Slot& Messages::SlotOf(int slot) {
  std::unique_ptr<Slot>& mine = slots_[slot];
  if (mine == nullptr) mine = std::make_unique<Slot>(model_, table_, partition_.block_rows);
  return *mine;
}

absl::Status Messages::Run(const Model::Prepared& prepared, const Assignment& assignment) {
  if (pieces_.empty()) return absl::OkStatus();
  // What needs no other block: transfers of heads, messages of sequences that begin in a block.
  const auto count = static_cast<int64_t>(pieces_.size());
  share_.For((count + kPiecesAtOnce - 1) / kPiecesAtOnce, [&](int64_t index, int slot) {
    if (stop_.stop_requested()) return;
    Slot& mine = SlotOf(slot);
    const int64_t end = std::min(count, (index + 1) * kPiecesAtOnce);
    for (int64_t p = index * kPiecesAtOnce; p < end; ++p) {
      const Piece& piece = pieces_[p];
      const int64_t first = partition_.first_row(piece.block);
      if (piece.head_rows > 0 && transfer_size_ > 0) {
        const Block head = table_.Read(first, piece.head_rows, mine.buffer);
        chain_.Transfer(prepared, head, assignment, *mine.workspace, TransferOf(p));
      }
      if (piece.continues && !piece.whole()) {
        const int rows = partition_.rows(piece.block) - piece.tail_begin;
        const Block tail = table_.Read(first + piece.tail_begin, rows, mine.buffer);
        chain_.Forward(prepared, tail, assignment, *mine.workspace, Before(piece.block + 1));
      }
    }
  });
  std::atomic<bool> finished = true;
  const auto run = [&](bool forward, int slot) {
    Slot& mine = SlotOf(slot);
    const bool done =
        forward ? RunForward(prepared, assignment, mine) : RunBackward(prepared, assignment, mine);
    if (!done) finished = false;
  };
  if (assignment.kind == Assignment::Kind::kPosterior && transfer_size_ == 0) {
    share_.For(2, [&](int64_t index, int slot) { run(index == 0, slot); });
  } else {
    run(true, 0);
    run(false, 0);
  }
  if (!finished || stop_.stop_requested()) return absl::CancelledError("stop was requested");
  return absl::OkStatus();
}

bool Messages::RunForward(const Model::Prepared& prepared, const Assignment& assignment,
                          Slot& slot) {
  for (size_t p = 0; p < pieces_.size(); ++p) {
    const Piece& piece = pieces_[p];
    if (!piece.continues || !piece.whole()) continue;
    if (stop_.stop_requested()) return false;
    const std::span<double> message = Before(piece.block + 1);
    if (transfer_size_ > 0) {
      chain_.Carry(assignment, TransferOf(p), Before(piece.block).data(), message);
    } else {
      Block block = table_.Read(partition_.first_row(piece.block), piece.head_rows, slot.buffer);
      block.before = Before(piece.block).data();
      chain_.Forward(prepared, block, assignment, *slot.workspace, message);
    }
  }
  return true;
}

bool Messages::RunBackward(const Model::Prepared& prepared, const Assignment& assignment,
                           Slot& slot) {
  for (size_t p = pieces_.size(); p-- > 0;) {
    const Piece& piece = pieces_[p];
    if (piece.head_rows == 0) continue;
    if (stop_.stop_requested()) return false;
    const double* const behind =
        piece.whole() && piece.continues ? Behind(piece.block).data() : nullptr;
    const std::span<double> message = Behind(piece.block - 1);
    const int64_t first = partition_.first_row(piece.block);
    if (transfer_size_ > 0) {
      chain_.CarryBack(assignment, TransferOf(p), behind, message);
    } else {
      Block head = table_.Read(first, piece.head_rows, slot.buffer);
      head.behind = behind;
      chain_.Backward(prepared, head, assignment, *slot.workspace, message);
    }
    if (assignment.kind != Assignment::Kind::kPosterior) {
      chain_.Choose(assignment, first - 1, Before(piece.block), message);
    }
  }
  return true;
}

}  // namespace emserve
