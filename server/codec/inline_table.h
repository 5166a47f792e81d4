// Tables that travel inside a request, and the element types of all tables.
#ifndef EMSERVE_SERVER_CODEC_INLINE_TABLE_H_
#define EMSERVE_SERVER_CODEC_INLINE_TABLE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/data/table.h"
#include "emserve/v1/tensor.pb.h"
#include "server/jobs/fit_work.h"

namespace emserve::server {

// Unspecified is float64; InvalidArgument for an unknown value.
absl::StatusOr<ElementType> DecodeElementType(v1::ElementType type, const std::string& path);
v1::ElementType EncodeElementType(ElementType type);

// What stands in for names or a number of columns that a table does not give.
struct InlineDefaults {
  std::vector<std::string> columns;  // empty: "c0", "c1", ...
  int64_t max_bytes = 0;             // most bytes of cells, > 0
};

// The cells and column names of `table`. `owner` keeps `table` alive for as long as the cells are
// used; null: the cells are copied. InvalidArgument under `path`: both or neither of `data` and
// `values`, a number of columns that is missing, negative, contradicted by the names or no divisor
// of the cells, a name that is empty, too long or double, no row, too many bytes. O(columns),
// O(cells) when copied.
absl::StatusOr<InlineTableData> DecodeInlineTable(const v1::InlineTable& table,
                                                  std::shared_ptr<const void> owner,
                                                  const InlineDefaults& defaults,
                                                  const std::string& path);

// InvalidArgument unless `names` are unique, 1 to 256 bytes of UTF-8 without control characters.
// `path` is the list's.
absl::Status CheckColumnNames(const std::vector<std::string>& names, const std::string& path);

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_CODEC_INLINE_TABLE_H_
