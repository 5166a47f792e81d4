// The E-step over a whole table: statistics and log-likelihood, summed in lanes.
#ifndef EMSERVE_CORE_EM_EXPECTATION_H_
#define EMSERVE_CORE_EM_EXPECTATION_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "core/data/table.h"
#include "core/em/lanes.h"
#include "core/em/messages.h"
#include "core/em/model.h"
#include "core/em/scratch.h"
#include "core/runtime/pool.h"

namespace emserve {

// Owns everything a pass needs (prepared parameters, a workspace per slot, statistics per lane), so
// that passes after the first allocate nothing. One fit, or one restart at a time of it, uses one
// Expectation. Not thread-safe. All arguments outlive it.
//
// Memory: statistics per lane, and per slot one block with its workspace.
class Expectation {
 public:
  Expectation(const Model& model, const Table& table, Pool::Share& share, std::stop_token stop);

  // One pass under `theta`: fills statistics() and returns the log-likelihood
  // sum_i w_i log p(x_i | theta), nats, or what Model::EStep returns for another `assignment`. The
  // same bits with any number of threads.
  //
  // Errors: what Model::Prepare returns; FailedPrecondition when the sum is not finite, naming the
  // first row that makes it so; Cancelled. The cost of one E-step.
  absl::StatusOr<double> Run(std::span<const double> theta, const Assignment& assignment = {});

  // Fills posterior [components x stride] of a block; it comes in zeroed. `scratch` is [2 x
  // stride].
  using Assign = absl::FunctionRef<void(const Block& block, std::span<double> scratch,
                                        std::span<double> posterior)>;

  // One pass with the posteriors that `assign` gives instead of computed ones: fills statistics(),
  // centred on `theta`. `assign` may be called from several threads at once.
  absl::Status RunGiven(std::span<const double> theta, Assign assign);

  // Of the last successful pass, in the model's layout.
  std::span<const double> statistics() const { return Lane(0); }

 private:
  struct Given {  // what RunGiven needs of one slot
    Given(int64_t stride, int64_t num_components)
        : scratch(2 * stride), posterior(num_components * stride) {}
    Scratch scratch;
    Scratch posterior;
  };

  std::span<double> Lane(int lane) {
    return std::span(lane_statistics_.get() + lane * lane_stride_, size_);
  }
  std::span<const double> Lane(int lane) const {
    return std::span(lane_statistics_.get() + lane * lane_stride_, size_);
  }
  Model::Workspace& WorkspaceOf(int slot);
  void ClearLane(int lane);
  void MergeLanes();
  absl::Status ExplainNonFinite();
  Block Informed(const Block& block) const {
    return messages_ ? messages_->Informed(block) : block;
  }

  const Model& model_;
  const int64_t size_;         // doubles of one set of statistics
  const int64_t lane_stride_;  // size_ and a gap, so that lanes do not share cache lines
  Lanes lanes_;
  std::optional<Messages> messages_;  // for models whose rows depend on each other
  std::unique_ptr<Model::Prepared> prepared_;
  std::vector<std::unique_ptr<Model::Workspace>> workspaces_;  // per slot, made when first used
  std::vector<std::unique_ptr<Given>> given_;                  // likewise
  // [lanes x lane_stride_], untouched until the lane's first pass clears it: it may be large.
  const std::unique_ptr<double[]> lane_statistics_;
  std::vector<double> lane_log_likelihood_;  // [lanes]
};

}  // namespace emserve

#endif  // EMSERVE_CORE_EM_EXPECTATION_H_
