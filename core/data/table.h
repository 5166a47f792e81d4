// Immutable tables of rows and how they are cut into blocks and lanes.
//
// A Table is a view of dense row-major cells (float64, float32 or int64) with a choice of columns
// and optional row weights. Cells are converted, selected and transposed one block at a time, in
// cache; no second copy of the data exists.
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

// Storage for one block; reused from block to block. Sized once, so reading a block allocates
// nothing.
class BlockBuffer {
 public:
  // Room for blocks of up to `max_rows` rows and `num_columns` columns.
  BlockBuffer(int max_rows, int num_columns);
  double* values() { return values_.get(); }
  double* weights() { return weights_.get(); }
  int max_rows() const { return max_rows_; }

 private:
  struct Free {
    void operator()(double* p) const;
  };
  int max_rows_;
  std::unique_ptr<double[], Free> values_;   // 64-byte aligned
  std::unique_ptr<double[], Free> weights_;  // 64-byte aligned
};

class Table {
 public:
  struct Options {
    std::vector<int> columns;  // columns of `cells` that are modelled, in order; empty means all
    std::vector<std::string> names;    // one per modelled column; empty means "0", "1", ...
    std::optional<int> weight_column;  // column of `cells` that holds row weights
    std::shared_ptr<const std::vector<double>>
        weights;  // row weights given apart; not together with weight_column
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
  bool weighted() const { return weight_column_.has_value() || weights_ != nullptr; }

  // Weight of row `row`; 1 when the table has no weights.
  double weight(int64_t row) const;
  // Cell of modelled column `column`, as double.
  double value(int64_t row, int column) const;

  // Transposes rows [first, first + count) into `buffer` and returns the view. Precondition: count
  // <= max_rows() and the rows exist. No allocation; thread-safe for distinct buffers. O(count x
  // columns).
  Block Read(int64_t first, int count, BlockBuffer& buffer) const;

 private:
  Table() = default;
  Cells cells_;
  std::vector<int> columns_;
  std::vector<std::string> names_;
  std::optional<int> weight_column_;
  std::shared_ptr<const std::vector<double>> weights_;
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
  static Partition Make(int64_t num_rows, int64_t doubles_per_row);

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
