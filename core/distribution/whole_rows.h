// Rows whose cells make sense together only, so that all of them are missing or none: a row without
// a cell, a step at which nothing was observed, has density 1.
#ifndef EMSERVE_CORE_DISTRIBUTION_WHOLE_ROWS_H_
#define EMSERVE_CORE_DISTRIBUTION_WHOLE_ROWS_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/data/block.h"
#include "core/data/summary.h"
#include "core/em/scratch.h"

namespace emserve {

// FailedPrecondition "columns[<name>]: got missing cells, must ..." where cells are missing in rows
// that have others, as far as shares of columns tell; CheckWholeRow finds the rest.
absl::Status CheckWholeRows(const Summary& summary, const std::vector<std::string>& names);

// InvalidArgument "[<row>]: got nan in column '<name>', must ..." for a row that misses some of its
// cells.
absl::Status CheckWholeRow(const Block& block, int row, const std::vector<std::string>& names);

// Whether a cell of the row is missing, and with it all of them.
bool IsAbsent(const Block& block, int row);

// Memory of one thread; reused from block to block.
class WholeRows {
 public:
  explicit WholeRows(int max_rows) : max_rows_(max_rows) {}

  // The block with zeros for rows without a cell: itself if it is complete, else a view of this.
  Block Fill(const Block& block);

 private:
  const int max_rows_;
  std::unique_ptr<Scratch> values_;  // [columns x stride], made when first needed
};

}  // namespace emserve

#endif  // EMSERVE_CORE_DISTRIBUTION_WHOLE_ROWS_H_
