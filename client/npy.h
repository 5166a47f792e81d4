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

// The array in `bytes`: little-endian float64, float32 or int64 in C order, [rows x columns] or
// [rows]. Columns are named c0, c1, ... Integers beyond 2^53 are rounded. `source` names the file
// in errors (InvalidArgument). Nothing is allocated before the header is known to agree with the
// size of the file.
absl::StatusOr<Table> ParseNpy(std::string_view bytes, const std::string& source);

}  // namespace emserve::client

#endif  // EMSERVE_CLIENT_NPY_H_
