#include "server/registry/block_cells.h"

#include <bit>
#include <cmath>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "server/errors.h"

namespace emserve::server {
namespace {

// Column by column without an early exit, so that the compiler vectorises it: a cell is not finite
// when all bits of its exponent are set.
bool AllFinite(const Block& block) {
  constexpr uint64_t kExponent = uint64_t{0x7ff} << 52;
  bool finite = true;
  for (int c = 0; c < block.num_columns; ++c) {
    const double* const cells = block.column(c);
    for (int i = 0; i < block.num_rows; ++i) {
      finite &= (std::bit_cast<uint64_t>(cells[i]) & kExponent) != kExponent;
    }
  }
  return finite;
}

}  // namespace

absl::Status CheckCells(const Table& table, const Block& block) {
  if (AllFinite(block)) return absl::OkStatus();
  for (int row = 0; row < block.num_rows; ++row) {
    for (int c = 0; c < block.num_columns; ++c) {
      if (!std::isinf(block.column(c)[row])) continue;
      return InvalidArgument(
          absl::StrCat("rows[", block.first_row + row, "]"),
          absl::StrCat("got ", block.column(c)[row], " in column '",
                       table.names()[static_cast<size_t>(c)],
                       "', must be finite, or NaN where it is missing; leave the row out"));
    }
  }
  return absl::OkStatus();
}

}  // namespace emserve::server
