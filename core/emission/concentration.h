// How directions scatter about their mean: the von Mises-Fisher distribution of one component by
// its concentration alone.
//
// Apart from the emission, which owns directions and who shares what: these are functions of D and
// kappa, accurate from the uniform distribution to rows that are all but equal.
#ifndef EMSERVE_CORE_EMISSION_CONCENTRATION_H_
#define EMSERVE_CORE_EMISSION_CONCENTRATION_H_

#include <span>
#include <vector>

#include "core/em/model.h"
#include "core/runtime/random.h"

namespace emserve {

// log C_D(kappa) + kappa, the log density at the mean direction, with respect to the surface of the
// unit sphere in `num_columns` dimensions, nats. O(1).
double LogDirectionalPeak(int num_columns, double concentration);

// 1 - A_D(kappa) = 1 - E(m . x), accurate however small. O(1).
double MeanCosineDeficit(int num_columns, double concentration);

// Sums over rows x, weighted by r, of what they make with their mean direction m.
struct Resultant {
  double weight = 0;   // sum r
  double cosines = 0;  // sum r m . x
  double deficit = 0;  // sum r (1 - m . x), which says more than weight - cosines
};

// The maximum of weight log C(kappa) + kappa cosines over kappa in [0, ceiling]: A_D(kappa) =
// cosines / weight (Banerjee et al. 2005, section 2.2; Newton's method as Sra 2012, kept inside a
// bracket). At the ceiling a kVarianceFloored repair of `component` is added, its amount what was
// added to the variance of a direction. Precondition: weight > 0. A few evaluations of O(1).
double MaximizeConcentration(int num_columns, const Resultant& resultant, double ceiling,
                             int component, std::vector<Repair>& repairs);

// Draws x about the unit vector `direction` (Wood 1994); `x` has its size. O(D), at most some 1.5
// rejections on average.
void SampleDirection(std::span<const double> direction, double concentration, Random& random,
                     std::span<double> x);

}  // namespace emserve

#endif  // EMSERVE_CORE_EMISSION_CONCENTRATION_H_
