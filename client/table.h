// The client's view of data: a dense table of doubles with named columns.
#ifndef EMSERVE_CLIENT_TABLE_H_
#define EMSERVE_CLIENT_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace emserve::client {

struct Table {
  // Unique names, one per column, in the order of the cells of a row.
  std::vector<std::string> columns;
  int64_t num_rows = 0;
  // Cells [num_rows x columns], row-major. NaN is a missing value.
  std::vector<double> values;
  // Empty, or the names of each column's categories: cell v of column c means levels[c][v]. Columns
  // of numbers have none.
  std::vector<std::vector<std::string>> levels = {};

  int64_t num_columns() const { return static_cast<int64_t>(columns.size()); }
};

}  // namespace emserve::client

#endif  // EMSERVE_CLIENT_TABLE_H_
