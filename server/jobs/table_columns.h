// Finding the columns that a job works on, and judging them by the figures of a sealed dataset.
#ifndef EMSERVE_SERVER_JOBS_TABLE_COLUMNS_H_
#define EMSERVE_SERVER_JOBS_TABLE_COLUMNS_H_

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/datasets/dataset.h"

namespace emserve::server {

// The columns of a table by name.
class ColumnIndex {
 public:
  // `names` are unique.
  explicit ColumnIndex(std::vector<std::string> names);
  explicit ColumnIndex(const DatasetSchema& schema);
  ColumnIndex(const ColumnIndex&) = delete;
  ColumnIndex& operator=(const ColumnIndex&) = delete;

  // Index of the column called `name`; InvalidArgument under `path`, naming those that are there,
  // if there is none. O(1).
  absl::StatusOr<int> Find(std::string_view path, std::string_view name) const;

 private:
  const std::vector<std::string> names_;
  std::unordered_map<std::string_view, int> index_;  // views of names_
};

// InvalidArgument "columns[<name>]: got nan in row 7, ..." if a cell of the column is not finite.
// O(1): the dataset's own figures say so.
absl::Status CheckFinite(const DatasetContent& content, int column);

// Likewise for a cell that is infinite; NaN is a missing value. O(1), and O(rows) to name the first
// one.
absl::Status CheckNotInfinite(const DatasetContent& content, int column);

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_JOBS_TABLE_COLUMNS_H_
