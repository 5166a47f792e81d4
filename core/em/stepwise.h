// Passes over part of a table, for stepwise EM.
#ifndef EMSERVE_CORE_EM_STEPWISE_H_
#define EMSERVE_CORE_EM_STEPWISE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <stop_token>
#include <vector>

#include "absl/status/statusor.h"
#include "core/data/table.h"
#include "core/em/model.h"
#include "core/runtime/pool.h"

namespace emserve {

// Cuts a table into mini-batches and sums statistics over one at a time. A batch takes blocks from
// all over the table, evenly spread, so that rows that lie together do not come together. Results
// have the same bits with any number of threads. Not thread-safe. All arguments outlive it.
class MiniBatches {
 public:
  // `batch_rows` is rounded up to whole blocks.
  MiniBatches(const Model& model, const Table& table, int64_t batch_rows, Pool::Share& share,
              std::stop_token stop);

  int64_t num_batches() const { return num_batches_; }

  // Fills statistics() from the rows of `batch` under `theta`; returns their log-likelihood, nats.
  // Errors: what Model::Prepare returns; Cancelled.
  absl::StatusOr<double> Run(int64_t batch, std::span<const double> theta);
  std::span<const double> statistics() const { return sums_[0].statistics; }
  double weight() const { return sums_[0].weight; }  // of the rows of the last batch

 private:
  struct Sums {  // of one lane
    std::vector<double> statistics;
    double log_likelihood = 0;
    double weight = 0;
  };
  struct Slot {
    std::unique_ptr<Model::Workspace> workspace;
    std::unique_ptr<BlockBuffer> buffer;
  };

  const Model& model_;
  const Table& table_;
  const Partition partition_;
  const int64_t num_batches_;
  Pool::Share& share_;
  const std::stop_token stop_;
  std::unique_ptr<Model::Prepared> prepared_;
  std::vector<Sums> sums_;  // per lane
  std::vector<Slot> slots_;
};

}  // namespace emserve

#endif  // EMSERVE_CORE_EM_STEPWISE_H_
