// k-means: the limit of a mixture of round Gaussians whose common variance vanishes.
#ifndef EMSERVE_CORE_LATENT_KMEANS_H_
#define EMSERVE_CORE_LATENT_KMEANS_H_

#include <memory>

#include "absl/status/statusor.h"
#include "core/data/summary.h"
#include "core/em/constraints.h"
#include "core/em/model.h"

namespace emserve {

struct KMeansHyperparameters {
  int num_components = 1;
  // Spherical k-means (Dhillon & Modha 2001): rows are divided by their length, centres are unit
  // vectors, and squared distances are 2 - 2 cos.
  bool spherical = false;
  ConstraintOptions constraints = {};  // on the centres; not with spherical
};

// Parameters: centres [K, D]. Statistics: occupancy [K], observed weight [K, D], first [K, D]. The
// objective is minus the weighted sum of squared distances to the nearest centre, squared data
// units; the posterior of the nearest centre is 1, a row's log density minus its squared distance.
// A centre without rows stays where it is and is reported, and so does a spherical one whose rows
// cancel out (at a start it becomes the first axis). Missing cells take no part in distances
// and means (Chi, Chi & Baraniuk 2016).
//
// Distances to centres that cannot be nearest are not computed: bounds from the pass before, moved
// by as much as centres have (Hamerly 2010), leave the labels the same and cost 16 bytes per row.
// The bounds belong to Prepared, so what profits is one driver's passes, in order.
//
// InvalidArgument: constraints; FailedPrecondition: a column without an observed cell, missing
// cells with spherical.
absl::StatusOr<std::unique_ptr<Model>> MakeKMeans(const KMeansHyperparameters& hyperparameters,
                                                  const Summary& summary,
                                                  const std::vector<std::string>& names);

}  // namespace emserve

#endif  // EMSERVE_CORE_LATENT_KMEANS_H_
