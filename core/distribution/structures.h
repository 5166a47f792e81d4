// M-steps of the covariance structures between free and pooled: volume, shape and orientation of
//
//   Sigma_k = lambda_k D_k A_k D_k^T,   det A_k = 1,   D_k orthogonal, A_k diagonal,
//
// each either common to the components (E), their own (V) or, last letter only, absent (I). Celeux
// & Govaert (1995), "Gaussian parsimonious clustering models", table 1. Apart from the classes of
// covariance.h because this is numerics alone: scatter in, covariances out.
//
// Here are those that tie some of the three. EII, VII, EEI, VVI, EEE and VVV tie all or nothing
// and are sums (matrices.cc, variances.cc).
#ifndef EMSERVE_CORE_DISTRIBUTION_STRUCTURES_H_
#define EMSERVE_CORE_DISTRIBUTION_STRUCTURES_H_

#include <cstdint>
#include <span>
#include <stop_token>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/em/model.h"

namespace emserve {

// Volume, shape, orientation. VEI and EVI are diagonal.
enum class Structure { kVEI, kEVI, kVEE, kEVE, kVVE, kEEV, kVEV, kEVV };

// What is maximised over all Sigma_k of the structure, nats:
//   sum_k -1/2 e_k log det Sigma_k - 1/2 tr(Sigma_k^-1 W_k)
struct StructureProblem {
  int num_components = 0;             // K >= 1
  int num_columns = 0;                // D >= 1
  std::span<const double> exponents;  // [K] e_k >= 0; a component with e_k = 0 takes no part
  // W, positive semidefinite up to rounding: its diagonals [K, D] for VEI and EVI, otherwise [K, D,
  // D] of which the lower triangles are read.
  std::span<const double> scatter;
  // Covariances now, shaped as `scatter`: where EVE and VVE begin, and what a component with e_k =
  // 0 keeps.
  std::span<const double> current;
  double floor = 0;  // >= 0, smallest eigenvalue allowed, squared data units
  std::stop_token stop;
};

struct StructureResult {
  double raised = 0;  // largest amount added to an eigenvalue because of the floor; 0 if none
  double loss = 0;    // by how much the floor lowered the maximised function, nats, >= 0
};

// Writes the maximiser to `next`, shaped as `current`, both triangles.
//
//   EVI, EEV, EVV   closed forms. Celeux & Govaert (1995), sections 3.1 and 3.2.
//   VEI, VEE, VEV   Newton's method on the log volumes, in which the rest is a closed form and the
//                   function is concave: the global maximum.
//   EVE, VVE        rotations of pairs of axes, from `current` or from the axes of a scatter, if
//                   they do better: a point at least as good as a `current` of the structure that
//                   is above the floor, and stationary but for a limit on the work (orientation.h).
//                   Flury & Gautschi (1986).
//
// A component with e_k = 0 keeps its own volume, shape or orientation and follows those that are
// common. Where `floor` is above the eigenvalues of the maximiser, EVI, EVE, VVE, EEV and EVV give
// the maximum under the floor within the structure (EVE, VVE: a stationary point); VEI, VEE and VEV
// leave the structure, for there the eigenvalues are raised one by one, lest one collapsed
// component dictates the shape of all.
//
// Where scatter is singular the function may have no maximum; then what is below about 1e-14 of a
// component's scatter counts as that much, and `current` may be better.
//
// InvalidArgument when an input is not finite. Cancelled when stop is requested; `next` is
// unspecified after both. O(K D log D) for EVI, O(K^2 D + K^3) an iteration for VEI, O(K D^3) an
// iteration otherwise, after O(K^2 D^3) for EVE and VVE, which begin with the best of K + 2 sets of
// axes. A stop is noticed after O(D^3), but by VEI and EVI not before they end. Thread-safe.
absl::StatusOr<StructureResult> MaximizeStructure(Structure structure,
                                                  const StructureProblem& problem,
                                                  std::span<double> next);

// The same for a maximisation, to whose repairs what was raised is added.
absl::Status MaximizeStructure(Structure structure, const StructureProblem& problem,
                               std::span<double> next, std::vector<Repair>& repairs);

// Free parameters of the covariances, as nVarParams of R's mclust.
int64_t StructureParameters(Structure structure, int num_components, int num_columns);

// The name as R's mclust spells it, e.g. "VEI".
const char* StructureName(Structure structure);

// True for VEI and EVI, whose covariances are [K, D].
bool IsDiagonal(Structure structure);

}  // namespace emserve

#endif  // EMSERVE_CORE_DISTRIBUTION_STRUCTURES_H_
