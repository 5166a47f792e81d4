// A block of rows, transposed: each column is contiguous, so that kernels vectorise over rows.
#ifndef EMSERVE_CORE_DATA_BLOCK_H_
#define EMSERVE_CORE_DATA_BLOCK_H_

#include <cstdint>

#include "core/numerics/kernels.h"

namespace emserve {

// Rounds a number of rows up to a whole number of vectors (kRowPad, kernels.h).
constexpr int PaddedRows(int rows) { return (rows + kRowPad - 1) / kRowPad * kRowPad; }

// A view; the storage belongs to a BlockBuffer (table.h). Columns start at multiples of `stride`,
// which is a multiple of kRowPad; rows [num_rows, stride) are padding with value 0 and weight 0, so
// kernels may run over whole vectors without masks. Thread-compatible.
struct Block {
  int64_t first_row = 0;  // index in the table of the block's first row
  int num_rows = 0;
  int stride = 0;  // doubles from one column to the next, PaddedRows(num_rows)
  int num_columns = 0;
  const double* values = nullptr;   // [num_columns x stride], 64-byte aligned
  const double* weights = nullptr;  // [stride], all 1 for rows of unweighted tables
  // Missing cells are NaN; true promises that no cell of the block is.
  bool complete = true;
  // [components x stride] log plausibility of each component for each row (0: nothing is known,
  // -infinity: excluded), 0 for padding; null without labels.
  const double* log_labels = nullptr;
  // Of tables with sequences, else null: whether a sequence begins with the row, and the weight of
  // the row's sequence, 1 unless given; [num_rows] each.
  const unsigned char* begins = nullptr;
  const double* sequence_weights = nullptr;
  // For models whose rows depend on those before them (chain.h): what the rows before the block
  // and those behind it say; null where the model has not been told, and at the ends of sequences.
  const double* before = nullptr;
  const double* behind = nullptr;

  const double* column(int c) const { return values + static_cast<int64_t>(c) * stride; }
};

}  // namespace emserve

#endif  // EMSERVE_CORE_DATA_BLOCK_H_
