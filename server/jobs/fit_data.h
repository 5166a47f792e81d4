// The data of a fit: which cells, which columns, and what can be said about them before the fit
// runs.
#ifndef EMSERVE_SERVER_JOBS_FIT_DATA_H_
#define EMSERVE_SERVER_JOBS_FIT_DATA_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/data/summary.h"
#include "core/data/table.h"
#include "core/runtime/pool.h"
#include "server/datasets/dataset_store.h"

namespace emserve::server {

// A table that came with the request.
struct InlineTableData {
  Cells cells;
  std::vector<std::string> columns;  // one unique name per column
  int64_t held_bytes = 0;  // what keeping the cells costs, the request around them included
};

// Where the data of a fit comes from. Paths in errors are those of a FitSpec.
struct FitSource {
  std::string dataset;                         // "datasets/{dataset}"; empty: inline_data
  std::optional<InlineTableData> inline_data;  // exactly one of the two
  std::vector<std::string> columns;            // to model, in order; empty: all but weight_column
  std::string weight_column;                   // empty: all rows weigh 1
};

// What is fitted: a table, the columns' schemas, and the dataset that keeps the cells, if any.
struct FitData {
  std::optional<Table> table;
  std::vector<ColumnSchema> columns;              // modelled, in order
  std::shared_ptr<const DatasetContent> content;  // null: inline
  std::vector<int> column_indices;                // of `columns` in the content
  std::optional<int> weight_column;               // likewise
  std::optional<Summary> summary;                 // exact, of inline tables
  int64_t inline_bytes = 0;
  std::string sha256;
};

// Finds the cells and the modelled columns. INVALID_ARGUMENT, NOT_FOUND, FAILED_PRECONDITION as
// MakeFitWork says. O(columns), O(bytes) for inline data.
absl::StatusOr<FitData> FindData(FitSource source, DatasetStore& datasets);

// Judges the values as far as they can be judged without a pass over a sealed dataset, and returns
// what is known of the fit's own summary: all of it, which is kept in `data`, for inline data (one
// pass with the threads of `pool`), bounds otherwise. INVALID_ARGUMENT as MakeFitWork says.
absl::StatusOr<Summary> JudgeData(FitData& data, Pool& pool);

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_JOBS_FIT_DATA_H_
