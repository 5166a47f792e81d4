// Parameters: v1.Parameters to a flat theta and back, through the layout, for every family alike.
#ifndef EMSERVE_SERVER_CODEC_PARAMETERS_H_
#define EMSERVE_SERVER_CODEC_PARAMETERS_H_

#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/em/layout.h"
#include "emserve/v1/job.pb.h"

namespace emserve::server {

// The flat parameters, in `layout`. InvalidArgument under `path` for an array that is missing,
// unknown, given twice, or of another shape than the layout's; the values are the model's to
// validate. O(elements).
absl::StatusOr<std::vector<double>> DecodeParameters(const v1::Parameters& parameters,
                                                     const Layout& layout, const std::string& path);

// `theta` as named arrays, bit for bit. Precondition: theta.size() == layout.size().
void EncodeParameters(std::span<const double> theta, const Layout& layout,
                      v1::Parameters& parameters);

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_CODEC_PARAMETERS_H_
