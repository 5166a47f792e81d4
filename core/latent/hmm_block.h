// One block of rows under a hidden Markov model: what states make of its rows, and the recursions
// along them from the message before the block to the one behind it.
//
// Apart from hmm.h, the model, and hmm_chain.h, what passes between blocks: both walk along rows.
#ifndef EMSERVE_CORE_LATENT_HMM_BLOCK_H_
#define EMSERVE_CORE_LATENT_HMM_BLOCK_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/data/block.h"
#include "core/distribution/emission.h"
#include "core/em/model.h"
#include "core/em/scratch.h"
#include "core/numerics/kernels_markov.h"
#include "core/numerics/markov.h"
#include "core/numerics/markov_wide_chain.h"

namespace emserve {

// Things that may be hidden, at most, for transfers between blocks, which cost this many times what
// messages handed on in turn do, but run in parallel: of a Markov chain, by vectors, and of a
// semi-Markov one.
inline constexpr int kMaxTransferStates = 8;
inline constexpr int kMaxTransferHidden = 6;

// The numbers of a chain, or their logarithms.
struct ChainNumbers {
  ChainNumbers(int of_states, int of_steps, bool has_durations);

  MarkovChain chain() const;

  int num_states;
  int max_duration;
  std::vector<double> initial;      // [K]
  std::vector<double> transitions;  // [K, K]
  std::vector<double> durations;    // [K, D], or empty
};

// The numbers of a Markov chain as its kernels take them.
class PaddedNumbers {
 public:
  explicit PaddedNumbers(int num_states);

  // Precondition: K states.
  void Assign(const ChainNumbers& numbers);
  PaddedChain chain() const;

 private:
  int num_states_;
  Scratch from_row_, from_column_, initial_;
};

// out = exp(logs).
void Exponentiate(const ChainNumbers& logs, ChainNumbers& out);

class HmmPrepared final : public Model::Prepared {
 public:
  static const HmmPrepared& Of(const Model::Prepared& prepared) {
    return static_cast<const HmmPrepared&>(prepared);
  }
  HmmPrepared(const Emission& of, int max_duration, bool has_durations);

  ChainNumbers plain, logs;
  std::optional<PaddedNumbers> padded;  // of a Markov chain
  // All transitions are far enough from 0 that the chain cannot lose a state for good.
  bool replenishes = false;
  std::unique_ptr<Emission::Prepared> emission;
};

// What a workspace's scores are: probabilities, their significands, with exponents, or logarithms,
// of paths too. Normalisers are logarithms in all but the first.
enum class ScoreForm { kPlain, kWide, kLogs };

class HmmWorkspace final : public Model::Workspace {
 public:
  static HmmWorkspace& Of(Model::Workspace& workspace) {
    return static_cast<HmmWorkspace&>(workspace);
  }
  HmmWorkspace(const Emission& of, const ChainNumbers& like, int max_rows);

  Scratch by_state;     // [K x stride]: log densities, then posteriors
  Scratch log_density;  // [stride]: what all states of a row have in common
  Scratch no_weights;   // [K] zeros
  // [rows, K] of the row's densities, less what they have in common
  std::vector<double> log_likelihood, likelihood;
  std::vector<double> score;           // [rows, M] filtered; of a semi-Markov chain then smoothed
  std::vector<double> score_exponent;  // [rows, M] where scores are wide
  std::vector<double> posterior;       // [rows, K]
  std::vector<double> normaliser;      // [rows]
  std::vector<double> weights;         // [rows] of the rows' sequences
  std::vector<int> hidden;             // [rows] a path
  std::vector<double> before, behind;  // [M] messages, not as logarithms
  std::vector<double> start;           // [M] message of a transfer
  std::vector<double> scratch;
  std::vector<double> pairs;            // [K, K] and, of durations, [K, D]
  std::vector<double> ahead;            // [rows, padded K] of a Markov chain
  ChainNumbers plain, logs;             // at a temperature
  std::optional<PaddedNumbers> padded;  // of a Markov chain, likewise
  // [K, padded K] of a Markov chain with transfers
  Scratch transfer{0};
  Scratch transfer_scratch{0};
  ScoreForm form = ScoreForm::kPlain;
  // Where doubles lose probabilities; likelihoods [rows, K].
  WideChain wide;
  std::vector<double> wide_likelihood, wide_exponent;
  std::unique_ptr<Emission::Workspace> emission;
};

// A view of one block and the workspace that its recursions write to; made anew for every block,
// allocates nothing. Each function says which others come before it.
class HmmBlock {
 public:
  HmmBlock(const Emission& emission, const HmmPrepared& prepared, const Block& block,
           const Assignment& assignment, HmmWorkspace& work);

  const Block& block() const { return block_; }
  const Emission& emission() const { return emission_; }
  const HmmPrepared& prepared() const { return prepared_; }
  HmmWorkspace& work() const { return work_; }
  const MarkovChain& plain() const { return plain_; }  // at the assignment's temperature
  const MarkovChain& logs() const { return logs_; }
  ChainRows rows() const;
  bool Begins(int t) const {
    return block_.begins != nullptr ? block_.begins[t] != 0 : block_.first_row + t == 0;
  }
  int64_t Index(int64_t row, int k) const { return row * num_states_ + k; }

  // First of all: what each state makes of each row, its labels and weight included.
  // `component_log_density` (may be null): the emission's alone [K x stride].
  void WeighRows(double* component_log_density = nullptr);
  // The weights of the rows' sequences.
  void WeighSequences();

  // After WeighRows: filtered probabilities into the scores, wide where doubles do not hold them.
  void Filter();
  // After Filter: p(h at t | rows up to t), j = t M + h.
  double Filtered(int64_t j) const {
    if (work_.form != ScoreForm::kWide) return work_.score[j];
    return ToDouble({work_.score[j], work_.score_exponent[j]});
  }
  // After Filter: log p(row t | rows before it), nats.
  double LogDensity(int t) const;
  // With WeighSequences: their sum over rows, weighted.
  double SumLogDensities() const;
  // After Filter: smoothed probabilities into the posteriors, of a semi-Markov chain into the
  // scores too; `pairs` as BackwardSmooth adds them, for the sequences' weights, or null.
  void Smooth(double* pairs);
  // After Filter, into the posteriors: p(state of a row | rows up to it), | the rows before it,
  // | all other rows, without the row's own label. Scores stay filtered ones.
  void SumScores();
  void PredictRows();
  void LeaveRowsOut();

  // After WeighRows: a path into `hidden`, and into the normalisers what each row adds: to the log
  // density of rows and path together, or of the rows if the path is drawn.
  void FindPath();
  // With WeighSequences: a path's ones into the scores and posteriors, and its pairs. Returns what
  // its rows add, weighted.
  double FollowPath();

  // After WeighRows: messages and transfers as Chain says.
  void Forward(std::span<double> message);
  void Backward(std::span<double> message);
  void Transfer(std::span<double> transfer);

  // The posteriors as emissions take them, [K x stride]; 0 for padding.
  void SpreadPosterior(std::span<double> posterior) const;
  std::span<double> ByState() const {
    return std::span(work_.by_state.data(), static_cast<size_t>(num_states_) * block_.stride);
  }

 private:
  bool LosesBeginnings() const;
  bool chooses_best() const { return assignment_.kind == Assignment::Kind::kHard; }
  void FilterWide();
  void ScoreBestPaths();
  void ScoresToLogs();
  // Of the chain and the block, once they are asked for.
  const WideChain& Widened();
  ConstWides WideLikelihood() const {
    return {work_.wide_likelihood.data(), work_.wide_exponent.data()};
  }
  Wides WideScores() const { return {work_.score.data(), work_.score_exponent.data()}; }
  bool TransferByKernel(std::span<double> transfer);
  // Null where no product of the chain can be lost.
  const double* Watched() const {
    return prepared_.replenishes ? nullptr : work_.log_likelihood.data();
  }
  bool Exponentials(const double* message, std::vector<double>& out) const;
  double LogNormaliser(int t) const;
  void LastMessage(std::span<double> message) const;
  // What a message chose.
  int HiddenBefore() const;

  const Emission& emission_;
  const HmmPrepared& prepared_;
  Block block_;
  const Assignment& assignment_;
  HmmWorkspace& work_;
  const int num_states_;
  const int max_duration_;
  const int num_hidden_;
  MarkovChain plain_, logs_;
  std::optional<PaddedChain> padded_;  // of a Markov chain
  bool widened_ = false;
};

}  // namespace emserve

#endif  // EMSERVE_CORE_LATENT_HMM_BLOCK_H_
