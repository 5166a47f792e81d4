// Tables as NumPy's .npy files, format 1.0 and 2.0 (numpy.lib.format), which are treated as
// hostile.
#ifndef EMSERVE_CLIENT_NPY_H_
#define EMSERVE_CLIENT_NPY_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "client/table.h"

namespace emserve::client {

// True if `bytes` begins as a .npy file does.
bool LooksLikeNpy(std::string_view bytes);

// The array in `bytes`, [rows x columns] or [rows]: float64, float32, bool or integers of 1 to 8
// bytes, of either byte order, in C or Fortran order. Columns are named c0, c1, ... An integer
// beyond 2^53, which a double may not hold, is refused. `source` names the file in errors
// (InvalidArgument). Nothing is allocated before the header is known to agree with the size of the
// file.
absl::StatusOr<Table> ParseNpy(std::string_view bytes, const std::string& source);

}  // namespace emserve::client

#endif  // EMSERVE_CLIENT_NPY_H_
