// Cutting the rows that a job works on into sequences.
#ifndef EMSERVE_SERVER_JOBS_TABLE_SEQUENCES_H_
#define EMSERVE_SERVER_JOBS_TABLE_SEQUENCES_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/data/sequences.h"
#include "core/data/table.h"
#include "server/jobs/table_columns.h"

namespace emserve::server {

// How rows are cut, as it is asked for.
struct SequenceSource {
  std::optional<std::string> column;  // whose equal numbers are a sequence; none: `lengths`
  std::vector<int64_t> lengths;       // of all sequences
  std::vector<double> weights;        // one per sequence; empty: all 1
};

// The sequences of `cells`, whose columns are those of `index`. InvalidArgument "sequences...":
// what core's Sequences refuses, and a column that is not there. O(rows).
absl::StatusOr<std::shared_ptr<const Sequences>> FindSequences(const SequenceSource& source,
                                                               const Cells& cells,
                                                               const ColumnIndex& index);

// Bytes that `sequences` hold; 0 for null.
int64_t SizeOf(const std::shared_ptr<const Sequences>& sequences);

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_JOBS_TABLE_SEQUENCES_H_
