// What a dataset is: its schema, its sealed content and what the store tells about it.
#ifndef EMSERVE_SERVER_DATASETS_DATASET_H_
#define EMSERVE_SERVER_DATASETS_DATASET_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/data/table.h"

namespace emserve::server {

enum class ColumnKind {
  kReal,         // a real number
  kCount,        // an integer, zero or more
  kCategorical,  // the index, from 0, of one of the levels
};

struct ColumnSchema {
  std::string name;  // unique in its table, 1 to 256 bytes, no control characters
  ColumnKind kind = ColumnKind::kReal;
  std::vector<std::string> levels = {};  // categorical only: value v means levels[v]

  bool operator==(const ColumnSchema&) const = default;
};

struct DatasetSchema {
  std::vector<ColumnSchema> columns;  // at least 1, in the order of the cells in a row
  int64_t num_rows = 0;               // at least 1
  ElementType type = ElementType::kFloat64;

  bool operator==(const DatasetSchema&) const = default;
};

// Bytes of the content. InvalidArgument, with paths relative to the schema, for a schema that is
// malformed ("columns[1].name: ...", "num_rows: ...") or whose size overflows. O(columns).
absl::StatusOr<int64_t> CheckSchema(const DatasetSchema& schema);

// Figures of one column over all rows, computed when the content is sealed.
struct ColumnSummary {
  int64_t num_missing = 0;   // cells that are NaN
  int64_t num_infinite = 0;  // cells that are infinite
  double minimum = 0;        // of the finite cells, as the three below; 0 if there is none
  double maximum = 0;
  double mean = 0;
  double variance = 0;                // divided by the number of finite cells
  int64_t first_non_finite_row = -1;  // -1: every cell is finite
};

// Anonymous memory of one content, defined by the store; counted against its budget until freed.
class DatasetMemory;

// Sealed content. Immutable; whoever holds it keeps its memory, also after the dataset is deleted.
struct DatasetContent {
  std::string name;  // "datasets/{dataset}"
  std::shared_ptr<const DatasetSchema> schema;
  std::vector<ColumnSummary> summaries;  // per column
  std::string sha256;                    // lower-case hexadecimal
  Cells cells;                           // row-major; owns the memory

  // The content as it was uploaded: row-major, little-endian, packed.
  std::string_view bytes() const;
  // Index of the column called `name`, -1 if there is none. O(columns).
  int FindColumn(std::string_view column) const;
};

enum class DatasetState { kUploading, kActive, kFailed };

// A view of a dataset at one moment.
struct DatasetInfo {
  std::string id;
  DatasetState state = DatasetState::kUploading;
  std::shared_ptr<const DatasetSchema> schema;
  int64_t size_bytes = 0;
  int64_t committed_size = 0;
  std::string sha256;  // of the content once ACTIVE; before, the one declared at creation
  absl::Time create_time;
  absl::Time expire_time = absl::InfiniteFuture();  // InfiniteFuture: never
  absl::Status error;                               // why it is FAILED
  std::string description;
  std::shared_ptr<const DatasetContent> content;  // set once ACTIVE
};

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_DATASETS_DATASET_H_
