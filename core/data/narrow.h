// Keeping a table in float32: half the memory that every pass reads.
#ifndef EMSERVE_CORE_DATA_NARROW_H_
#define EMSERVE_CORE_DATA_NARROW_H_

#include <stop_token>

#include "absl/status/statusor.h"
#include "core/data/summary.h"
#include "core/data/table.h"
#include "core/runtime/pool.h"

namespace emserve {

// A copy of `table` whose cells are float32: the modelled columns, labels, plausibilities and
// starts; row weights stay double, and sequences as they are. `table` itself where its cells are
// float32 already. `summary` is Summarize(table).
//
// FailedPrecondition "columns[<name>]: got <value> in row <row>, must be ..." when rounding would
// move a cell with weight by more than 1e-4 of its column's standard deviation, or a cell is beyond
// float32's range: far from 0, differences between rows are lost. A column without spread may be
// rounded to one value. Cancelled when `stop` is requested. O(rows x columns) time, 4 bytes per
// cell; parallel over rows.
absl::StatusOr<Table> NarrowToFloat32(const Table& table, const Summary& summary,
                                      Pool::Share& share, const std::stop_token& stop);

// What NarrowToFloat32 would refuse, without the copy.
absl::Status CheckNarrow(const Table& table, const Summary& summary, Pool::Share& share,
                         const std::stop_token& stop);

}  // namespace emserve

#endif  // EMSERVE_CORE_DATA_NARROW_H_
