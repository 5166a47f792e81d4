// The most probable paths of whole sequences, one sequence at a time.
#ifndef EMSERVE_SERVER_REGISTRY_SEQUENCE_PATHS_H_
#define EMSERVE_SERVER_REGISTRY_SEQUENCE_PATHS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/data/table.h"
#include "core/em/chain.h"
#include "core/em/model.h"

namespace emserve::server {

// Bytes that one thread takes for `num_paths` paths of a sequence of `table`, the longest.
double BytesOfPaths(const Model& model, const Table& table, int num_paths);

// Whether `num_paths` paths of the longest sequence of `table` are found in reasonable time: each
// is searched alone, and may be the last one before a stop. InvalidArgument "num_paths: ...", also
// when they take more than `max_bytes`.
absl::Status CheckPaths(const Model& model, const Table& table, int num_paths, double max_bytes);

// For one thread. All arguments outlive it. Preconditions: model.chain() != nullptr, the sequences
// of `table` pass CheckPaths.
class SequencePaths {
 public:
  SequencePaths(const Model& model, const Model::Prepared& prepared, const Table& table);

  // Of sequence `s`, best first, at most `num_paths`. Cancelled soon after `cancelled`, which may
  // be null, is true. Chain::BestPathsOf.
  absl::StatusOr<std::vector<Chain::RatedPath>> Find(int64_t s, int num_paths,
                                                     const std::function<bool()>& cancelled);

 private:
  const Chain& chain_;
  const Model::Prepared& prepared_;
  const Table& table_;
  BlockBuffer buffer_;  // with room for the longest sequence
  const std::unique_ptr<Model::Workspace> workspace_;
};

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_REGISTRY_SEQUENCE_PATHS_H_
