// Immutable tables of rows and how they are cut into blocks and lanes.
//
// A Table is a view of dense row-major cells (float64, float32 or int64) with a choice of columns,
// optional row weights and optional labels. A NaN cell is a missing value. Cells are converted,
// selected and transposed one block at a time, in cache; no second copy of the data exists.
#ifndef EMSERVE_CORE_DATA_TABLE_H_
#define EMSERVE_CORE_DATA_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/data/block.h"
#include "core/data/sequences.h"

namespace emserve {

enum class ElementType { kFloat64, kFloat32, kInt64 };

// Bytes of one element.
constexpr int64_t ElementSize(ElementType type) { return type == ElementType::kFloat32 ? 4 : 8; }

// Dense row-major cells [num_rows x num_columns] owned by `owner`, which lives as long as any Table
// that views them.
struct Cells {
  std::shared_ptr<const void> owner;
  const std::byte* bytes = nullptr;  // alignment of the element type is not required
  ElementType type = ElementType::kFloat64;
  int64_t num_rows = 0;
  int num_columns = 0;
};

// One cell, as double. Preconditions: it exists.
double LoadCell(const Cells& cells, int64_t row, int column);
// The same of int64 cells, with all digits.
int64_t LoadInteger(const Cells& cells, int64_t row, int column);

// Storage for one block; reused from block to block. Sized once, so reading a block allocates
// nothing.
class BlockBuffer {
 public:
  // Room for blocks of up to `max_rows` rows, `num_columns` columns, labels among
  // `label_components` components and, if asked for, sequences.
  BlockBuffer(int max_rows, int num_columns, int label_components = 0, bool sequences = false);
  double* values() { return values_.get(); }
  double* weights() { return weights_.get(); }
  double* labels() { return labels_.get(); }
  unsigned char* begins() { return begins_.data(); }
  double* sequence_weights() { return sequence_weights_.data(); }
  int max_rows() const { return max_rows_; }

 private:
  struct Free {
    void operator()(double* p) const;
  };
  int max_rows_;
  std::unique_ptr<double[], Free> values_;   // 64-byte aligned
  std::unique_ptr<double[], Free> weights_;  // 64-byte aligned
  std::unique_ptr<double[], Free> labels_;   // 64-byte aligned
  std::vector<unsigned char> begins_;
  std::vector<double> sequence_weights_;
};

class Table {
 public:
  struct Options {
    std::vector<int> columns;  // columns of `cells` that are modelled, in order; empty means all
    std::vector<std::string> names;    // one per modelled column; empty means "0", "1", ...
    std::optional<int> weight_column;  // column of `cells` that holds row weights
    std::shared_ptr<const std::vector<double>>
        weights;  // row weights given apart; not together with weight_column
    // What is known of the rows' hidden components, one of:
    // - a column of `cells` with the component's index, from 0; NaN or a negative number: unknown;
    std::optional<int> label_column;
    // - one column of `cells` per component with its plausibility, 0 or more (Come, Oukhellou,
    //   Denoeux & Aknin 2009): row i has the density sum_k plausibility_ik weight_k p(x_i | k).
    //   Zeros and ones are sets of allowed components; NaN counts as 1.
    std::vector<int> plausibility_columns;
    // Columns of `cells` with the responsibilities that a fit starts from: one per component, 0 or
    // more, of which each row's shares are taken; or a single one with the component's index. NaN
    // where that is unknown: among others it counts as 0, and a row without any is spread evenly.
    std::vector<int> start_columns;
    int label_components = 0;  // K of label_column; of plausibility_columns it is their number
    // How rows follow each other in time; null: models of sequences see one of all rows.
    std::shared_ptr<const Sequences> sequences;
  };

  // Checks shapes and indices, not values (Summarize does). InvalidArgument names the offending
  // option.
  static absl::StatusOr<Table> Create(Cells cells, Options options);

  // A table that owns a copy of `values` [num_rows x num_columns], row-major. For tests and small
  // inline data.
  static absl::StatusOr<Table> FromValues(std::vector<double> values, int64_t num_rows,
                                          int num_columns, std::vector<double> weights = {});

  int64_t num_rows() const { return cells_.num_rows; }
  int num_columns() const { return static_cast<int>(columns_.size()); }
  const std::vector<std::string>& names() const { return names_; }
  // How the cells are stored.
  ElementType element_type() const { return cells_.type; }
  bool weighted() const { return weight_column_.has_value() || weights_ != nullptr; }
  // Number of components among which rows are labelled; 0 without labels.
  int label_components() const { return label_components_; }

  // Weight of row `row`; 1 when the table has no weights.
  double weight(int64_t row) const;
  // Weight of row `row` as Read gives it: 0 for a row without an observed cell and without a label.
  // O(columns), O(1) where the first cell is observed.
  double EffectiveWeight(int64_t row) const;
  // Cell of modelled column `column`, as double.
  double value(int64_t row, int column) const;

  // Whether something is known of the component of row `row`.
  bool labelled(int64_t row) const;

  // The component of row `row`, if its label leaves one only.
  std::optional<int> OnlyComponent(int64_t row) const;

  // As given to Create.
  std::optional<int> label_column() const { return label_column_; }
  const std::vector<int>& plausibility_columns() const { return plausibility_columns_; }
  const std::vector<int>& start_columns() const { return start_columns_; }
  // Cell of any column of the cells, modelled or not, as double.
  double raw_value(int64_t row, int cells_column) const;

  // Null unless given to Create.
  const std::shared_ptr<const Sequences>& sequences() const { return sequences_; }
  // Sum of their weights; 1 without: models of sequences see one of all rows.
  double num_sequences() const { return sequences_ == nullptr ? 1 : sequences_->total_weight(); }

  // The same table with the promise that no modelled cell is missing, so that Read need not look.
  Table Complete() const;
  bool complete() const { return complete_; }

  // A buffer that Read can fill with up to `max_rows` rows.
  BlockBuffer MakeBuffer(int max_rows) const {
    return BlockBuffer(max_rows, num_columns(), label_components_, sequences_ != nullptr);
  }

  // Transposes rows [first, first + count) into `buffer` and returns the view. A row without an
  // observed cell and without a label says nothing and gets weight 0. Precondition: count <=
  // max_rows() and the rows exist; `buffer` is like MakeBuffer's. No allocation; thread-safe for
  // distinct buffers. O(count x columns).
  Block Read(int64_t first, int count, BlockBuffer& buffer) const;

 private:
  Table() = default;
  bool FindMissing(int count, BlockBuffer& buffer, const Block& block) const;
  void ReadLabels(int64_t first, int count, BlockBuffer& buffer) const;
  void ReadSequences(BlockBuffer& buffer, Block& block) const;

  Cells cells_;
  std::vector<int> columns_;
  std::vector<std::string> names_;
  std::optional<int> weight_column_;
  std::shared_ptr<const std::vector<double>> weights_;
  std::optional<int> label_column_;
  std::vector<int> plausibility_columns_;
  std::vector<int> start_columns_;
  int label_components_ = 0;
  std::shared_ptr<const Sequences> sequences_;
  bool complete_ = false;
};

// The fixed cut of a table into blocks and lanes. It depends on the number of rows and the family's
// needs per row only, never on the number of threads: lanes are merged in order, so results have
// the same bits on any machine size.
struct Partition {
  int64_t num_rows = 0;
  int block_rows = 0;  // rows per block (the last block may be shorter), a multiple of kRowPad
  int64_t num_blocks = 0;
  int num_lanes = 0;  // at most kMaxLanes; each lane is a run of consecutive blocks

  static constexpr int kMaxLanes = 64;

  // `doubles_per_row`: working memory of one row inside a block (columns + components + scratch);
  // blocks are sized to stay in a 512 KiB working set and lanes to hold at least 4096 rows.
  // `doubles_per_lane`: what each lane keeps for itself; more than 4 lanes keep 512 MiB at most.
  static Partition Make(int64_t num_rows, int64_t doubles_per_row, int64_t doubles_per_lane = 0);

  int64_t first_block(int lane) const {
    return num_blocks * lane / num_lanes;
  }  // end = first_block(lane + 1)
  int64_t first_row(int64_t block) const { return block * block_rows; }
  int rows(int64_t block) const {
    const int64_t left = num_rows - block * block_rows;
    return static_cast<int>(left < block_rows ? left : block_rows);
  }
};

}  // namespace emserve

#endif  // EMSERVE_CORE_DATA_TABLE_H_
