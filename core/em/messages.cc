#include "core/em/messages.h"

#include <algorithm>
#include <utility>

namespace emserve {
namespace {

// Pieces that one index of a parallel loop takes.
constexpr int64_t kPiecesAtOnce = 8;

}  // namespace

Messages::Messages(const Model& model, const Table& table, const Partition& partition,
                   Pool::Share& share, std::function<bool()> cancelled,
                   std::span<const double> before)
    : model_(model),
      chain_(*model.chain()),
      table_(table),
      partition_(partition),
      share_(share),
      cancelled_(std::move(cancelled)),
      size_(chain_.message_size()),
      transfer_size_(chain_.transfer_size()),
      slots_(std::max(2, share.num_slots())) {
  const bool goes_on = !before.empty();
  if (partition.num_blocks == 1 && !goes_on) return;
  const Sequences one(table.num_rows());
  const Sequences& sequences = table.sequences() != nullptr ? *table.sequences() : one;
  for (int64_t b = 0; b < partition.num_blocks; ++b) {
    const int64_t first = partition.first_row(b);
    const int64_t end = first + partition.rows(b);
    const int64_t s = sequences.Of(first);
    const int64_t last = sequences.Of(end - 1);
    Piece piece{.block = b};
    if (sequences.first_row(s) < first || (b == 0 && goes_on)) {
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
  if (!goes_on) return;
  std::copy(before.begin(), before.end(), before_.begin());
  first_begins_.resize(partition.rows(0));
  for (int row = 1; row < partition.rows(0); ++row) first_begins_[row] = sequences.Begins(row);
}

double Messages::DoublesOf(const Model& model, const Partition& partition) {
  const Chain& chain = *model.chain();
  return static_cast<double>(partition.num_blocks) *
         (2 * static_cast<double>(chain.message_size()) +
          static_cast<double>(chain.transfer_size()));
}

Block Messages::Informed(Block block) const {
  if (has_before_.empty()) return block;
  const int64_t b = block.first_row / partition_.block_rows;
  if (has_before_[b]) block.before = before_.data() + b * size_;
  if (has_behind_[b]) block.behind = behind_.data() + b * size_;
  if (b == 0 && !first_begins_.empty()) block.begins = first_begins_.data();
  return block;
}

// Rows begin <= row < end of a block.
Block Messages::Read(int64_t block, int begin, int end, Slot& slot) const {
  return table_.Read(partition_.first_row(block) + begin, end - begin, slot.buffer);
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

// Once it is true it stays so.
bool Messages::Stopped() {
  if (!stopped_ && cancelled_ != nullptr && cancelled_()) stopped_ = true;
  return stopped_;
}

absl::Status Messages::Run(const Model::Prepared& prepared, const Assignment& assignment,
                           std::span<double> end) {
  // What needs no other block: transfers of heads, messages of sequences that begin in a block.
  const auto count = static_cast<int64_t>(pieces_.size());
  share_.For((count + kPiecesAtOnce - 1) / kPiecesAtOnce, [&](int64_t index, int slot) {
    const int64_t last = std::min(count, (index + 1) * kPiecesAtOnce);
    for (int64_t p = index * kPiecesAtOnce; p < last && !Stopped(); ++p) {
      RunPiece(p, prepared, assignment, SlotOf(slot));
    }
  });
  const auto run = [&](bool forward, Slot& slot) {
    if (forward) {
      RunForward(prepared, assignment, slot, end);
    } else {
      RunBackward(prepared, assignment, slot);
    }
  };
  if (assignment.kind == Assignment::Kind::kPosterior && transfer_size_ == 0 && count > 0) {
    share_.For(2, [&](int64_t index, int slot) { run(index == 0, SlotOf(slot)); });
  } else if (count > 0 || !end.empty()) {
    run(true, SlotOf(0));
    run(false, SlotOf(0));
  }
  return stopped_ ? absl::CancelledError("no longer wanted") : absl::OkStatus();
}

void Messages::RunPiece(size_t p, const Model::Prepared& prepared, const Assignment& assignment,
                        Slot& slot) {
  const Piece& piece = pieces_[p];
  const int rows = partition_.rows(piece.block);
  if (piece.block > 0 && piece.head_rows > 0 && transfer_size_ > 0) {
    const Block head = Read(piece.block, 0, piece.head_rows, slot);
    chain_.Transfer(prepared, head, assignment, *slot.workspace, TransferOf(p));
  }
  if (!piece.continues || (piece.whole() && piece.block > 0)) return;
  Block tail = Read(piece.block, piece.tail_begin, rows, slot);
  if (piece.whole()) tail = Informed(tail);
  tail.behind = nullptr;
  chain_.Forward(prepared, tail, assignment, *slot.workspace, Before(piece.block + 1));
}

void Messages::RunForward(const Model::Prepared& prepared, const Assignment& assignment, Slot& slot,
                          std::span<double> end) {
  for (size_t p = 0; p < pieces_.size(); ++p) {
    const Piece& piece = pieces_[p];
    if (piece.block == 0 || !piece.continues || !piece.whole()) continue;
    if (Stopped()) return;
    const std::span<double> message = Before(piece.block + 1);
    if (transfer_size_ > 0) {
      chain_.Carry(assignment, TransferOf(p), Before(piece.block).data(), message);
    } else {
      Block block = Read(piece.block, 0, piece.head_rows, slot);
      block.before = Before(piece.block).data();
      chain_.Forward(prepared, block, assignment, *slot.workspace, message);
    }
  }
  if (end.empty() || Stopped()) return;
  const int64_t last = partition_.num_blocks - 1;
  Block block = Informed(Read(last, 0, partition_.rows(last), slot));
  block.behind = nullptr;
  chain_.Forward(prepared, block, assignment, *slot.workspace, end);
}

void Messages::RunBackward(const Model::Prepared& prepared, const Assignment& assignment,
                           Slot& slot) {
  for (size_t p = pieces_.size(); p-- > 0;) {
    const Piece& piece = pieces_[p];
    if (piece.block == 0 || piece.head_rows == 0) continue;
    if (Stopped()) return;
    const double* const behind =
        piece.whole() && piece.continues ? Behind(piece.block).data() : nullptr;
    const std::span<double> message = Behind(piece.block - 1);
    if (transfer_size_ > 0) {
      chain_.CarryBack(assignment, TransferOf(p), behind, message);
    } else {
      Block head = Read(piece.block, 0, piece.head_rows, slot);
      head.behind = behind;
      chain_.Backward(prepared, head, assignment, *slot.workspace, message);
    }
    if (assignment.kind != Assignment::Kind::kPosterior) {
      const int64_t row = partition_.first_row(piece.block) - 1;
      chain_.Choose(assignment, row, Before(piece.block), message);
    }
  }
}

}  // namespace emserve
