// Where single parameters lie, and coordinates in which any step leads to one again.
#ifndef EMSERVE_CORE_EM_DOMAIN_H_
#define EMSERVE_CORE_EM_DOMAIN_H_

#include <limits>

namespace emserve {

// The coordinate is the number itself, its logarithm (of 0: -infinity) or its logit (of 0 and 1:
// infinite). All are finite otherwise; positive ones have a finite inverse too.
enum class Domain { kReal, kPositive, kNonNegative, kUnit };

// Values between which a fit keeps a parameter, both included.
struct Range {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
};

bool Contains(Domain domain, double value);

// What a value must be, e.g. "positive and finite".
const char* Constraint(Domain domain);

double ToCoordinate(Domain domain, double value);
double FromCoordinate(Domain domain, double coordinate);

}  // namespace emserve

#endif  // EMSERVE_CORE_EM_DOMAIN_H_
