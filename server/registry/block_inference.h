// What is inferred about the rows of a block, for one thread that predicts block by block.
#ifndef EMSERVE_SERVER_REGISTRY_BLOCK_INFERENCE_H_
#define EMSERVE_SERVER_REGISTRY_BLOCK_INFERENCE_H_

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "core/data/block.h"
#include "core/em/model.h"
#include "server/registry/prediction.h"

namespace emserve::server {

// An array with `width` numbers for each row of a block; without numbers where it is not wanted.
class RowArray {
 public:
  // For blocks of at most `stride` rows, padding included.
  void Resize(int width, int stride) {
    width_ = width;
    values_.resize(static_cast<size_t>(width) * static_cast<size_t>(stride));
  }
  int width() const { return width_; }
  double* data() { return values_.empty() ? nullptr : values_.data(); }
  double At(const Block& block, int row, int j) const {
    return values_[static_cast<size_t>(j) * static_cast<size_t>(block.stride) +
                   static_cast<size_t>(row)];
  }
  // Writes the row's numbers to `out` and returns their end.
  double* CopyRow(const Block& block, int row, double* out) const {
    for (int j = 0; j < width_; ++j) *out++ = At(block, row, j);
    return out;
  }

 private:
  int width_ = 0;
  std::vector<double> values_;  // [width x stride]
};

// Not thread-safe. All arguments outlive it.
class BlockInference {
 public:
  // What forecasts need: Chain::Ahead's matrix, empty where none are wanted, and whether cells are
  // forecast too.
  struct Outlook {
    std::vector<double> ahead;
    bool cells = false;
  };

  BlockInference(const Model& model, const Model::Prepared& prepared, PredictionOutputs outputs,
                 const Outlook& outlook, int max_rows);

  // Infers what is wanted of the rows of `block`. `of_paths` is the same block with the messages of
  // the best paths; not looked at where the model has no sequences or no output is of paths.
  // InvalidArgument "rows[7]: ..." for a row whose density vanishes, but in a sequence of which
  // only log densities are wanted: they are -infinity there.
  absl::Status Infer(const Block& block, const Block& of_paths);

  // Of a row of the block inferred last.
  int Label(const Block& block, int row) const {
    return path_.empty() ? MostProbable(block, row) : path_[static_cast<size_t>(row)];
  }
  // The component with the largest posterior, the first of equals.
  int MostProbable(const Block& block, int row) const;
  double log_density(int row) const { return log_density_[static_cast<size_t>(row)]; }
  double path_log_density(int row) const { return path_log_density_[static_cast<size_t>(row)]; }

  // [components x stride], [columns x stride]: of the block inferred last, where wanted.
  RowArray posterior, filtered, forecast;
  RowArray mean, variance, forecast_mean, forecast_variance, residual, forecast_residual;

 private:
  const Model& model_;
  const Model::Prepared& prepared_;
  const PredictionOutputs outputs_;
  const Outlook& outlook_;
  const std::unique_ptr<Model::Workspace> workspace_;
  std::vector<double> log_density_;       // [stride]
  std::vector<int> path_;                 // [stride], of models of sequences
  std::vector<double> path_log_density_;  // [stride], of models of sequences
};

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_REGISTRY_BLOCK_INFERENCE_H_
