#include "core/distribution/covariance.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

namespace emserve {
namespace {

// The list of structures.
constexpr std::array kStructures = {
    CovarianceInfo{Covariance::kFull, "full", "VVV"},
    CovarianceInfo{Covariance::kTied, "tied", "EEE"},
    CovarianceInfo{Covariance::kDiagonal, "diagonal", "VVI"},
    CovarianceInfo{Covariance::kTiedDiagonal, "tied_diagonal", "EEI"},
    CovarianceInfo{Covariance::kSpherical, "spherical", "VII"},
    CovarianceInfo{Covariance::kTiedSpherical, "tied_spherical", "EII"},
    CovarianceInfo{Covariance::kVEI, "vei", "VEI"},
    CovarianceInfo{Covariance::kEVI, "evi", "EVI"},
    CovarianceInfo{Covariance::kVEE, "vee", "VEE"},
    CovarianceInfo{Covariance::kEVE, "eve", "EVE"},
    CovarianceInfo{Covariance::kVVE, "vve", "VVE"},
    CovarianceInfo{Covariance::kEEV, "eev", "EEV"},
    CovarianceInfo{Covariance::kVEV, "vev", "VEV"},
    CovarianceInfo{Covariance::kEVV, "evv", "EVV"},
};

}  // namespace

std::span<const CovarianceInfo> CovarianceStructures() { return kStructures; }

bool IsSpherical(Covariance structure) {
  return structure == Covariance::kSpherical || structure == Covariance::kTiedSpherical;
}

std::unique_ptr<Covariances> MakeCovariances(Covariance structure, int num_components,
                                             int num_columns, VarianceFloor floor) {
  switch (structure) {
    case Covariance::kDiagonal:
    case Covariance::kTiedDiagonal:
    case Covariance::kSpherical:
    case Covariance::kTiedSpherical:
    case Covariance::kVEI:
    case Covariance::kEVI:
      return MakeVariances(structure, num_components, num_columns, std::move(floor));
    case Covariance::kFull:
    case Covariance::kTied:
    case Covariance::kVEE:
    case Covariance::kEVE:
    case Covariance::kVVE:
    case Covariance::kEEV:
    case Covariance::kVEV:
    case Covariance::kEVV:
      return MakeMatrices(structure, num_components, num_columns, std::move(floor));
  }
  return nullptr;
}

double VarianceFloor::smallest_variance() const {
  double smallest = std::numeric_limits<double>::infinity();
  for (const double variance : variances) {
    if (variance > 0) smallest = std::min(smallest, variance);
  }
  return std::isfinite(smallest) ? smallest : 0;
}

}  // namespace emserve
