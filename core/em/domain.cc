#include "core/em/domain.h"

#include <cmath>

namespace emserve {

bool Contains(Domain domain, double value) {
  switch (domain) {
    case Domain::kReal:
      return std::isfinite(value);
    case Domain::kPositive:
      return value > 0 && std::isfinite(value) && std::isfinite(1 / value);
    case Domain::kNonNegative:
      return value >= 0 && std::isfinite(value);
    case Domain::kUnit:
      return value >= 0 && value <= 1;
  }
  return false;
}

const char* Constraint(Domain domain) {
  switch (domain) {
    case Domain::kReal:
      return "finite";
    case Domain::kPositive:
      return "positive and finite";
    case Domain::kNonNegative:
      return "0 or more and finite";
    case Domain::kUnit:
      return "in [0, 1]";
  }
  return "";
}

double ToCoordinate(Domain domain, double value) {
  switch (domain) {
    case Domain::kReal:
      return value;
    case Domain::kPositive:
    case Domain::kNonNegative:
      return std::log(value);
    case Domain::kUnit:
      return std::log(value) - std::log1p(-value);
  }
  return value;
}

double FromCoordinate(Domain domain, double coordinate) {
  switch (domain) {
    case Domain::kReal:
      return coordinate;
    case Domain::kPositive:
    case Domain::kNonNegative:
      return std::exp(coordinate);
    case Domain::kUnit:
      return 1 / (1 + std::exp(-coordinate));
  }
  return coordinate;
}

}  // namespace emserve
