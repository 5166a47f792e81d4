#include "client/emctl/derived.h"

#include <utility>

#include "absl/status/statusor.h"
#include "proto/wire/tensor.h"

namespace emserve::emctl {

std::vector<double> DerivedOf(const v1::ModelVersion& version, std::string_view name) {
  for (const v1::NamedTensor& array : version.derived()) {
    if (array.name() != name) continue;
    absl::StatusOr<std::vector<double>> values = DecodeTensor(array.tensor(), array.name());
    if (values.ok()) return *std::move(values);
  }
  return {};
}

}  // namespace emserve::emctl
