// What the server derives from a model's parameters.
#ifndef EMSERVE_CLIENT_EMCTL_DERIVED_H_
#define EMSERVE_CLIENT_EMCTL_DERIVED_H_

#include <string_view>
#include <vector>

#include "emserve/v1/model.pb.h"

namespace emserve::emctl {

// The values of the array called `name` in ModelVersion.derived; none if it is not there.
std::vector<double> DerivedOf(const v1::ModelVersion& version, std::string_view name);

}  // namespace emserve::emctl

#endif  // EMSERVE_CLIENT_EMCTL_DERIVED_H_
