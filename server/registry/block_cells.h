// The cells of a block as rows to predict.
#ifndef EMSERVE_SERVER_REGISTRY_BLOCK_CELLS_H_
#define EMSERVE_SERVER_REGISTRY_BLOCK_CELLS_H_

#include "absl/status/status.h"
#include "core/data/table.h"

namespace emserve::server {

// InvalidArgument "rows[7]: ..." for the first cell of `block`, of `table`, that is infinite; NaN
// is a missing value. O(cells).
absl::Status CheckCells(const Table& table, const Block& block);

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_REGISTRY_BLOCK_CELLS_H_
