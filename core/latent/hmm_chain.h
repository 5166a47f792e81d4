// A hidden Markov model along its rows: messages between blocks, draws, what lies ahead.
#ifndef EMSERVE_CORE_LATENT_HMM_CHAIN_H_
#define EMSERVE_CORE_LATENT_HMM_CHAIN_H_

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/data/block.h"
#include "core/distribution/emission.h"
#include "core/em/chain.h"
#include "core/em/durations.h"
#include "core/em/model.h"

namespace emserve {

// Messages are logarithms, [2 M]. The second half is of the row before a block, once its state has
// been chosen: what was known of it before that, under which a drawn path's rows have their density
// by all paths. Row i of a transfer [M, M]: the log-likelihood of the rows with each thing hidden
// in the last of them, given i before.
class HmmChain final : public Chain {
 public:
  // `durations` null: a Markov chain, with a max_duration of 1. Both outlive it.
  HmmChain(const Emission& emission, const Durations* durations, int max_duration);

  int64_t message_size() const override { return 2 * static_cast<int64_t>(num_hidden()); }
  int64_t transfer_size() const override;
  int component(int hidden) const override { return hidden / max_duration_; }
  int num_hidden() const override { return num_states_ * max_duration_; }

  void Forward(const Model::Prepared& prepared, const Block& block, const Assignment& assignment,
               Model::Workspace& workspace, std::span<double> message) const override;
  void Backward(const Model::Prepared& prepared, const Block& block, const Assignment& assignment,
                Model::Workspace& workspace, std::span<double> message) const override;
  void Transfer(const Model::Prepared& prepared, const Block& block, const Assignment& assignment,
                Model::Workspace& workspace, std::span<double> transfer) const override;
  void Carry(const Assignment& assignment, std::span<const double> transfer, const double* before,
             std::span<double> message) const override;
  void CarryBack(const Assignment& assignment, std::span<const double> transfer,
                 const double* behind, std::span<double> message) const override;
  void Choose(const Assignment& assignment, int64_t row, std::span<double> before,
              std::span<double> behind) const override;

  absl::Status Ahead(const Model::Prepared& prepared, int64_t steps,
                     const std::function<bool()>& cancelled,
                     std::span<double> ahead) const override;
  std::vector<double> StationaryOf(std::span<const double> theta) const override;
  std::vector<double> ExpectedDurations(std::span<const double> theta) const override;
  int SampleNext(const Model::Prepared& prepared, int hidden, Random& random,
                 std::span<double> row) const override;
  absl::StatusOr<std::vector<RatedPath>> BestPathsOf(
      const Model::Prepared& prepared, const Block& block, Model::Workspace& workspace, int count,
      const std::function<bool()>& cancelled) const override;

  // Mean number of rows of a visit [K], as the durations' probabilities say; of a Markov chain,
  // each of whose rows counts as a visit, 1.
  std::vector<double> RowsOfVisits(std::span<const double> theta) const;

 private:
  int64_t num_pairs() const { return static_cast<int64_t>(num_states_) * num_states_; }
  std::span<const double> Transitions(std::span<const double> theta) const {
    return theta.subspan(num_states_, num_pairs());
  }

  const Emission& emission_;
  const Durations* const durations_;
  const int num_states_;
  const int max_duration_;
};

}  // namespace emserve

#endif  // EMSERVE_CORE_LATENT_HMM_CHAIN_H_
