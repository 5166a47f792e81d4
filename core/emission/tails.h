// Degrees of freedom of Student's t components: where they lie, and their maximum.
//
// Apart from the emission (student_t.cc), which owns means, scale matrices and rows.
//
// With e1 = (nu + d) / 2 and e2 = (nu + delta) / 2 the log density of a row with d cells is log
// Gamma(e1) - e1 log e2 + (nu / 2) log(nu / 2) - log Gamma(nu / 2), up to what depends on the scale
// matrix alone. EM's bound replaces the first two terms, which are convex in (e1, e2), by their
// tangent (Peel & McLachlan 2000); far from heavy tails nearly all of the curvature goes with them,
// and steps in nu are of order 1. Here only the relative entropy e1 log(e1 / e2) - e1 is replaced,
// which is convex too (Boyd & Vandenberghe 2004, example 3.19), and has the same gradient but for
// its part in log Gamma: the same weights u = e1 / e2 for means and scale matrices, and log
// Gamma(e1)
// - e1 log e1 + e1 stays exact. So the objective is as monotone, and steps in nu are longer by a
// factor of order nu / d.
#ifndef EMSERVE_CORE_EMISSION_TAILS_H_
#define EMSERVE_CORE_EMISSION_TAILS_H_

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "core/em/constraints.h"
#include "core/em/layout.h"
#include "core/em/model.h"

namespace emserve {

struct TailOptions {
  bool estimated = true;  // or held at `start`
  bool shared = false;    // by all components
  double start = 0;
  double minimum = 0;  // 0 < minimum <= start <= maximum, finite
  double maximum = 0;
};

// One array of parameters: degrees_of_freedom [K], or [1] if shared. Spans below are of it.
// Immutable after Constrain; thread-safe.
class Tails {
 public:
  Tails(const TailOptions& options, int num_components, int num_columns);

  int64_t size() const { return options_.shared ? 1 : num_components_; }
  double of(std::span<const double> params, int component) const {
    return params[Element(component)];
  }
  int64_t num_free(const std::vector<bool>& active) const;  // as Emission's degrees of freedom
  void AddParameters(Layout& parameters) const;

  // As Emission's, of constraints on this array alone. InvalidArgument also for any where degrees
  // of freedom are not estimated.
  absl::Status Constrain(const Constraints& constraints);
  absl::Status Validate(std::span<const double> params) const;
  void Reference(std::span<double> params) const;
  void ToUnconstrained(std::span<const double> params, std::span<double> coordinates) const;
  void FromUnconstrained(std::span<const double> coordinates, std::span<double> params) const;

  // Writes the maximiser of ExpectedLogDensity within the bounds and under the constraints to
  // `next`. A component with occupancy 0 keeps its own. `tail` [K] is the sum of responsibilities
  // times log u - u + 1 + MissingTail(nu, d, D) over rows with d observed cells, u = (nu + d) / (nu
  // + delta); it does not depend on where statistics are centred.
  void Maximize(std::span<const double> occupancy, std::span<const double> tail,
                std::span<const double> params, std::span<double> next,
                const MaximizeContext& context) const;
  double ExpectedLogDensity(std::span<const double> occupancy, std::span<const double> tail,
                            std::span<const double> params) const;

 private:
  int64_t Element(int component) const { return options_.shared ? 0 : component; }
  bool IsWithinBounds(double nu) const { return nu >= options_.minimum && nu <= options_.maximum; }

  TailOptions options_;
  int num_components_;
  int num_columns_;
  Constraints constraints_;
};

// log Gamma((nu + num_cells) / 2) - log Gamma(nu / 2) - num_cells / 2 log(nu / 2): what the
// constant of the log density of so many cells has beyond a Gaussian's. Accurate to rounding of the
// result or of 1 for nu up to infinity.
double TailLogConstant(double nu, double num_cells);

// E(log u - u + 1) of a row with `num_cells` cells, at most 0; falls in size as num_cells / nu^2.
double ExpectedTail(double nu, int num_cells);

// The part of a row with `num_observed` of `num_cells` cells in the derivative by nu / 2 that log
// Gamma has of it, and not of a row with all, at most 0: the difference is convex in nu and
// replaced by its tangent too.
double MissingTail(double nu, int num_observed, int num_cells);

}  // namespace emserve

#endif  // EMSERVE_CORE_EMISSION_TAILS_H_
