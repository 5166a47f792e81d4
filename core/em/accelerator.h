// Extrapolation of EM's steps, in coordinates where any step is allowed.
#ifndef EMSERVE_CORE_EM_ACCELERATOR_H_
#define EMSERVE_CORE_EM_ACCELERATOR_H_

#include <memory>
#include <span>

#include "core/em/fit.h"

namespace emserve {

// Sees every step of the map and now and then proposes a point further on. The driver judges the
// proposal by its objective and says when it refused one. Not thread-safe.
class Accelerator {
 public:
  virtual ~Accelerator() = default;

  // The map took `from` to `image`; all arrays have the same size and are finite. True if
  // `proposal` was written: the point to go on from instead of `image`. O(size x depth).
  virtual bool Propose(std::span<const double> from, std::span<const double> image,
                       std::span<double> proposal) = 0;

  // The last proposal did not raise the objective; the climb goes on from its image.
  virtual void Refused() = 0;

  // The last proposal lay lower, but the map has taken it to where the objective is higher; the
  // climb goes on from there.
  virtual void Steadied() = 0;
};

// Null for Acceleration::kNone.
std::unique_ptr<Accelerator> MakeAccelerator(Acceleration acceleration, int anderson_depth);

}  // namespace emserve

#endif  // EMSERVE_CORE_EM_ACCELERATOR_H_
