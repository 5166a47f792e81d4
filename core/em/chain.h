// What a latent structure adds to Model when its rows depend on the rows before them.
//
// A table is still walked block by block and in lanes. What the blocks on either side say about the
// hidden state at a boundary is a message; messages.h computes them for all boundaries, and a block
// that carries them (Block::before, Block::behind) is again independent of all others. So one pass
// serves long chains and many short ones, in parallel and with the memory of two messages a block.
#ifndef EMSERVE_CORE_EM_CHAIN_H_
#define EMSERVE_CORE_EM_CHAIN_H_

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/data/block.h"
#include "core/em/model.h"

namespace emserve {

// Functions of blocks are pure and thread-safe for distinct (workspace, output). A block whose
// first row continues a sequence without a `before` counts as one that nothing is known of before;
// a sequence goes on behind a block only if it has a `behind`.
class Chain {
 public:
  virtual ~Chain() = default;

  // Doubles of a message.
  virtual int64_t message_size() const = 0;
  // Doubles of a transfer; 0 where handing messages on row by row costs less than transfers do.
  virtual int64_t transfer_size() const = 0;

  // What the block and the rows before it say about the state of its last row.
  virtual void Forward(const Model::Prepared& prepared, const Block& block,
                       const Assignment& assignment, Model::Workspace& workspace,
                       std::span<double> message) const = 0;

  // What the block and the rows behind it say about the state of the row before it. Precondition:
  // all of its rows continue one sequence.
  virtual void Backward(const Model::Prepared& prepared, const Block& block,
                        const Assignment& assignment, Model::Workspace& workspace,
                        std::span<double> message) const = 0;

  // What Forward and Backward make of any message, under the same precondition; applied by Carry
  // and CarryBack. `behind` null: the sequence ends with the block.
  virtual void Transfer(const Model::Prepared& prepared, const Block& block,
                        const Assignment& assignment, Model::Workspace& workspace,
                        std::span<double> transfer) const = 0;
  virtual void Carry(const Assignment& assignment, std::span<const double> transfer,
                     const double* before, std::span<double> message) const = 0;
  virtual void CarryBack(const Assignment& assignment, std::span<const double> transfer,
                         const double* behind, std::span<double> message) const = 0;

  // For assignments that choose states: replaces what the rows up to `row` and those behind it say
  // about the row's state by the choice.
  virtual void Choose(const Assignment& assignment, int64_t row, std::span<double> before,
                      std::span<double> behind) const = 0;

  // Things that can be hidden: num_components(), times the steps that a semi-Markov one may have
  // left.
  virtual int num_hidden() const = 0;
  // ahead[h, k] = probability of component k `steps` >= 1 rows after one where h was hidden,
  // [num_hidden x components] row-major, as RowOutputs takes it. Cost grows with log(steps) for a
  // Markov chain, with steps for a semi-Markov one. Cancelled soon after `cancelled`, which may be
  // null, is true.
  virtual absl::Status Ahead(const Model::Prepared& prepared, int64_t steps,
                             const std::function<bool()>& cancelled,
                             std::span<double> ahead) const = 0;

  // What follows from the parameters: the share of rows in each component in the long run, [K],
  // empty where that depends on how a sequence begins; and the mean number of rows that a visit to
  // each component lasts, [K], infinity where it is never left.
  virtual std::vector<double> StationaryOf(std::span<const double> theta) const = 0;
  virtual std::vector<double> ExpectedDurations(std::span<const double> theta) const = 0;

  // Draws the row after one where `hidden` was hidden, the first of a sequence if that is -1, as
  // Model::Sample does; returns what is hidden then, an index into messages, of which component()
  // is the component.
  virtual int SampleNext(const Model::Prepared& prepared, int hidden, Random& random,
                         std::span<double> row) const = 0;
  virtual int component(int hidden) const = 0;

  // The `count` most probable paths of components through the block, a whole sequence, best first,
  // with the log densities of rows and path together, nats. Of a semi-Markov chain paths of visits:
  // two may differ in how long the last one would have gone on. O(rows M^2 count log count), with
  // 16 bytes for each of rows x M x count: for the caller to bound. Cancelled as Ahead.
  struct RatedPath {
    double log_density = 0;
    std::vector<int> components;  // [rows]
  };
  virtual absl::StatusOr<std::vector<RatedPath>> BestPathsOf(
      const Model::Prepared& prepared, const Block& block, Model::Workspace& workspace, int count,
      const std::function<bool()>& cancelled) const = 0;
};

}  // namespace emserve

#endif  // EMSERVE_CORE_EM_CHAIN_H_
