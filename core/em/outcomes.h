// Collects the ends of a fit's restarts: the winner, the distinct optima, the report.
#ifndef EMSERVE_CORE_EM_OUTCOMES_H_
#define EMSERVE_CORE_EM_OUTCOMES_H_

#include <mutex>
#include <vector>

#include "absl/status/statusor.h"
#include "core/em/fit.h"
#include "core/em/restart.h"

namespace emserve {

// Restarts may end in any order and on any thread; the result does not depend on it. Thread-safe.
class Outcomes {
 public:
  // `mean_weight` as in Summary.
  Outcomes(int restarts, double mean_weight)
      : mean_weight_(mean_weight), outcomes_(restarts), floored_(restarts) {}

  // Notes how `restart` ended and keeps its parameters if it leads.
  void Add(const Restart& restart);

  // Notes a restart that the time budget left no time for.
  void AddSkipped(int restart);

  // The result; FailedPrecondition if every restart failed. Call once, after the last Add.
  absl::StatusOr<FitResult> Finish();

 private:
  absl::Status WhyAllFailed() const;
  bool Better(int a, int b) const;
  std::vector<Optimum> GroupOptima() const;

  const double mean_weight_;
  std::mutex mutex_;
  std::vector<RestartOutcome> outcomes_;
  std::vector<char> floored_;  // per restart: it ended with a variance at its floor
  int best_ = -1;
  FitResult result_;
};

}  // namespace emserve

#endif  // EMSERVE_CORE_EM_OUTCOMES_H_
