// One candidate of a sweep and how it went.
#ifndef EMSERVE_SERVER_JOBS_SWEEP_ROW_H_
#define EMSERVE_SERVER_JOBS_SWEEP_ROW_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "core/em/fit.h"
#include "core/families.h"

namespace emserve::server {

// Rows outlive their sweep: of the model they keep the figures that tell candidates apart, not its
// options, which may be large.
struct SweepRow {
  int candidate = 0;  // from 0
  int num_components = 0;
  std::optional<Covariance> covariance;  // none: the emission has no such structure
  std::string_view family;               // an entry of Families()
  std::optional<int> emission;           // index among the alternatives; none: the template's
  absl::Status status;                   // not OK: why it failed; the rest is then 0
  double objective = 0;                  // nats
  double log_likelihood = 0;             // nats
  int64_t degrees_of_freedom = 0;
  // On the scale -2 log L, smaller is better (criteria.h).
  std::optional<double> aic;
  std::optional<double> bic;
  std::optional<double> icl;
  std::optional<double> relative_entropy;
  Termination termination = Termination::kIterationLimit;  // of the winning restart
  bool degenerate = false;       // with a variance at its floor, whatever stopped it
  std::string message;           // the rule that stopped it
  int64_t total_iterations = 0;  // of all restarts
};

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_JOBS_SWEEP_ROW_H_
