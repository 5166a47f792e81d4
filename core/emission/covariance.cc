#include "core/emission/covariance.h"

#include <utility>

namespace emserve {
namespace {

struct Structure {
  Covariance covariance;
  decltype(MakeMatrices)* make;
  Sharing sharing;
};

// The list of structures.
constexpr Structure kStructures[] = {
    {Covariance::kFull, MakeMatrices, {}},
    {Covariance::kTied, MakeMatrices, {.by_components = true}},
    {Covariance::kDiagonal, MakeVariances, {}},
    {Covariance::kTiedDiagonal, MakeVariances, {.by_components = true}},
    {Covariance::kSpherical, MakeVariances, {.by_columns = true}},
    {Covariance::kTiedSpherical, MakeVariances, {.by_components = true, .by_columns = true}},
};

}  // namespace

std::unique_ptr<Covariances> MakeCovariances(Covariance structure, int num_components,
                                             int num_columns, VarianceFloor floor) {
  for (const auto& [covariance, make, sharing] : kStructures) {
    if (covariance == structure)
      return make(sharing, num_components, num_columns, std::move(floor));
  }
  return nullptr;
}

}  // namespace emserve
