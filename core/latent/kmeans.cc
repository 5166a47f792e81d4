#include "core/latent/kmeans.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/em/scratch.h"
#include "core/numerics/kernels.h"

namespace emserve {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Bounds are compared with a margin that covers the rounding of distances.
constexpr double kMargin = 1e-9;

// Of a length of 1: centres may have been written as text.
constexpr double kUnitTolerance = 1e-6;

// What is known of a row from the pass before.
struct Bound {
  int label = -1;
  uint32_t pass = 0;  // the pass that it is of; 0: none
  double others = 0;  // lower bound on the distance to every other centre
};

class KMeansPrepared final : public Model::Prepared {
 public:
  KMeansPrepared(int num_components, int num_columns)
      : centres(static_cast<size_t>(num_components) * num_columns),
        before(centres.size()),
        by_column(centres.size()),
        moved(num_components) {}

  std::vector<double> centres;    // [K, D]
  std::vector<double> before;     // [K, D] those of the pass before
  std::vector<double> by_column;  // [D, K]
  std::vector<double> moved;      // [K] since the pass before
  double most_moved = 0;
  double second_moved = 0;  // most of all but one centre
  int mover = -1;           // that centre
  uint32_t pass = 0;

  // One per row of the table, made by the first E-step; rows are distinct between threads.
  Bound* Bounds(int64_t num_rows) const {
    std::call_once(once_, [&] { bounds_.resize(static_cast<size_t>(num_rows)); });
    return bounds_.data();
  }

 private:
  // E-steps write here though what is prepared is const to them: it is a memory of passes before,
  // which spares distances but changes no label. It is here, and not in a thread's workspace,
  // because a row's next pass may be another thread's.
  mutable std::once_flag once_;
  mutable std::vector<Bound> bounds_;
};

class KMeansWorkspace final : public Model::Workspace {
 public:
  KMeansWorkspace(int max_rows, int num_columns)
      : rows(static_cast<int64_t>(num_columns) * PaddedRows(max_rows)),
        gathered(static_cast<int64_t>(num_columns) * PaddedRows(max_rows)),
        distance(PaddedRows(max_rows)),
        nearest(PaddedRows(max_rows)),
        second(PaddedRows(max_rows)),
        own(PaddedRows(max_rows)),
        label(PaddedRows(max_rows)),
        label_gathered(PaddedRows(max_rows)),
        open(PaddedRows(max_rows)) {}

  Scratch rows;                            // [D x stride] of unit length
  Scratch gathered;                        // [D x stride] rows whose nearest centre is open
  Scratch distance, nearest, second, own;  // [stride] squared
  std::vector<int> label, label_gathered;
  std::vector<int> open;  // rows of the block
};

const KMeansPrepared& Cast(const Model::Prepared& prepared) {
  return static_cast<const KMeansPrepared&>(prepared);
}
KMeansWorkspace& Cast(Model::Workspace& workspace) {
  return static_cast<KMeansWorkspace&>(workspace);
}

class KMeans final : public Model {
 public:
  KMeans(int num_components, bool spherical, const Summary& summary)
      : num_components_(num_components),
        num_columns_(static_cast<int>(summary.mean.size())),
        num_rows_(summary.num_rows),
        spherical_(spherical),
        unit_(num_columns_, 1.0) {
    parameters_.Add("centres", {num_components_, num_columns_});
    statistics_.Add("occupancy", {num_components_});
    statistics_.Add("observed", {num_components_, num_columns_});
    statistics_.Add("first", {num_components_, num_columns_});
  }

  absl::Status Constrain(const ConstraintOptions& options) {
    if (spherical_) {
      return absl::InvalidArgumentError(
          "constraints: got some on spherical k-means, must be none; its centres have length 1");
    }
    absl::StatusOr<Constraints> constraints = Constraints::Make(parameters_, options);
    if (!constraints.ok()) return constraints.status();
    constraints_ = *std::move(constraints);
    return absl::OkStatus();
  }

  const Layout& parameters() const override { return parameters_; }
  const Layout& statistics() const override { return statistics_; }
  int num_columns() const override { return num_columns_; }
  int num_components() const override { return num_components_; }
  int64_t doubles_per_row() const override { return 3LL * num_columns_ + num_components_ + 6; }
  int64_t degrees_of_freedom(std::span<const double>) const override {
    if (!constraints_.empty()) return constraints_.NumFree();
    return static_cast<int64_t>(num_components_) * (num_columns_ - (spherical_ ? 1 : 0));
  }

  bool measures_in_own_units() const override { return true; }
  bool has_likelihood() const override { return false; }
  bool checks_rows() const override { return spherical_; }
  absl::Status CheckRows(const Block& block, const std::vector<std::string>&) const override {
    for (int i = 0; i < block.num_rows && spherical_; ++i) {
      if (block.weights[i] == 0) continue;
      double squares = 0;
      for (int c = 0; c < num_columns_; ++c) squares += block.column(c)[i] * block.column(c)[i];
      if (!(squares > 0)) {
        return absl::InvalidArgumentError(
            absl::StrCat("[", block.first_row + i, "]: got a length of ", std::sqrt(squares),
                         ", must be positive for spherical k-means; leave the row out"));
      }
    }
    return absl::OkStatus();
  }

  std::unique_ptr<Prepared> NewPrepared() const override {
    return std::make_unique<KMeansPrepared>(num_components_, num_columns_);
  }
  std::unique_ptr<Workspace> NewWorkspace(int max_rows) const override {
    return std::make_unique<KMeansWorkspace>(max_rows, num_columns_);
  }

  absl::Status Validate(std::span<const double> theta) const override {
    if (static_cast<int64_t>(theta.size()) != parameters_.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("parameters: got ", theta.size(), " numbers, must be ", parameters_.size()));
    }
    for (size_t i = 0; i < theta.size(); ++i) {
      if (std::isfinite(theta[i])) continue;
      return absl::InvalidArgumentError(absl::StrCat("centres[", i / num_columns_, ", ",
                                                     i % num_columns_, "]: got ", theta[i],
                                                     ", must be finite"));
    }
    for (int k = 0; k < num_components_ && spherical_; ++k) {
      const double length = Length(theta, k);
      if (std::abs(length - 1) <= kUnitTolerance) continue;
      return absl::InvalidArgumentError(absl::StrCat("centres[", k, "]: got a length of ", length,
                                                     ", must be 1 within ", kUnitTolerance,
                                                     " for spherical k-means"));
    }
    return absl::OkStatus();
  }

  absl::Status Prepare(std::span<const double> theta, Prepared& prepared) const override {
    auto& mine = static_cast<KMeansPrepared&>(prepared);
    mine.centres.swap(mine.before);
    std::copy(theta.begin(), theta.end(), mine.centres.begin());
    mine.most_moved = mine.second_moved = 0;
    mine.mover = -1;
    for (int k = 0; k < num_components_; ++k) {
      double squares = 0;
      for (int c = 0; c < num_columns_; ++c) {
        const int64_t j = static_cast<int64_t>(k) * num_columns_ + c;
        mine.by_column[static_cast<int64_t>(c) * num_components_ + k] = theta[j];
        squares += (theta[j] - mine.before[j]) * (theta[j] - mine.before[j]);
      }
      mine.moved[k] = std::sqrt(squares);
      if (mine.moved[k] > mine.most_moved) {
        mine.second_moved = mine.most_moved;
        mine.most_moved = mine.moved[k];
        mine.mover = k;
      } else {
        mine.second_moved = std::max(mine.second_moved, mine.moved[k]);
      }
    }
    ++mine.pass;
    return absl::OkStatus();
  }

  double EStep(const Prepared& prepared, const Block& block, const Assignment&,
               Workspace& workspace, std::span<double> stats) const override {
    const KMeansPrepared& mine = Cast(prepared);
    KMeansWorkspace& work = Cast(workspace);
    const Block rows = Rows(block, work);
    const bool bounded = block.complete && block.log_labels == nullptr &&
                         block.first_row + block.num_rows <= num_rows_;
    if (bounded) {
      AssignBounded(mine, rows, work);
    } else {
      Nearest(mine, rows, work, work.own.data(), work.second.data(), work.label.data());
    }
    double objective = 0;
    for (int i = 0; i < rows.num_rows; ++i) {
      if (rows.weights[i] != 0) objective -= rows.weights[i] * work.own[i];
      stats[work.label[i]] += rows.weights[i];
    }
    const auto observed = stats.subspan(num_components_, parameters_.size());
    const auto first = stats.subspan(num_components_ + parameters_.size());
    for (int c = 0; c < num_columns_; ++c) {
      const double* const x = rows.column(c);
      const double* const centre =
          mine.by_column.data() + static_cast<int64_t>(c) * num_components_;
      for (int i = 0; i < rows.num_rows; ++i) {
        if (std::isnan(x[i])) continue;
        const int64_t j = static_cast<int64_t>(work.label[i]) * num_columns_ + c;
        observed[j] += rows.weights[i];
        first[j] += rows.weights[i] * (x[i] - centre[work.label[i]]);
      }
    }
    return objective;
  }

  void GivenStep(const Prepared& prepared, const Block& block, std::span<const double> posterior,
                 Workspace& workspace, std::span<double> stats) const override {
    const KMeansPrepared& mine = Cast(prepared);
    const Block rows = Rows(block, Cast(workspace));
    for (int k = 0; k < num_components_; ++k) {
      const double* const p = posterior.data() + static_cast<int64_t>(k) * block.stride;
      for (int i = 0; i < rows.num_rows; ++i) stats[k] += rows.weights[i] * p[i];
      for (int c = 0; c < num_columns_; ++c) {
        const double* const x = rows.column(c);
        const int64_t j = num_components_ + static_cast<int64_t>(k) * num_columns_ + c;
        const double centre = mine.centres[static_cast<int64_t>(k) * num_columns_ + c];
        for (int i = 0; i < rows.num_rows; ++i) {
          if (std::isnan(x[i])) continue;
          stats[j] += rows.weights[i] * p[i];
          stats[j + parameters_.size()] += rows.weights[i] * p[i] * (x[i] - centre);
        }
      }
    }
  }

  absl::Status MStep(std::span<const double> theta, std::span<const double> stats,
                     std::span<double> next, const MaximizeContext& context) const override {
    const int64_t size = parameters_.size();
    std::vector<double> weight(size);
    std::vector<double> sum(size);
    for (int64_t j = 0; j < size; ++j) {
      const int64_t leader = constraints_.Leader(j);
      weight[leader] += stats[num_components_ + j];
      // About the leader's old value, which a tie shares.
      sum[leader] += stats[num_components_ + size + j] +
                     stats[num_components_ + j] * (theta[j] - theta[leader]);
    }
    for (int64_t j = 0; j < size; ++j) {
      const int64_t leader = constraints_.Leader(j);
      next[j] = theta[leader] + (weight[leader] > 0 ? sum[leader] / weight[leader] : 0);
    }
    constraints_.Apply(next);
    for (int k = 0; k < num_components_; ++k) {
      if (!(stats[k] > 0)) context.repairs.push_back({.reason = kComponentEmpty, .component = k});
      if (!spherical_) continue;
      if (Normalise(theta, k, next) || !(stats[k] > 0)) continue;
      context.repairs.push_back({.reason = kDirectionUndefined, .component = k});
    }
    return absl::OkStatus();
  }

  // Minus the squared distances of the statistics' rows to other centres.
  double ExpectedLogDensity(std::span<const double> centre, std::span<const double> stats,
                            std::span<const double> theta) const override {
    double sum = 0;
    for (int64_t j = 0; j < parameters_.size(); ++j) {
      const double shift = theta[j] - centre[j];
      sum += 2 * shift * stats[num_components_ + parameters_.size() + j] -
             shift * shift * stats[num_components_ + j];
    }
    return sum;
  }
  void Recenter(std::span<const double> theta, std::span<const double> centre,
                std::span<double> stats) const override {
    for (int64_t j = 0; j < parameters_.size(); ++j) {
      stats[num_components_ + parameters_.size() + j] -=
          stats[num_components_ + j] * (centre[j] - theta[j]);
    }
  }
  void ExpectedStatistics(std::span<const double>, double num_observations, double,
                          std::span<double> stats) const override {
    const double each = num_observations / num_components_;
    std::fill(stats.begin(), stats.end(), 0.0);
    std::fill_n(stats.begin(), num_components_ + parameters_.size(), each);
  }
  double LogPrior(std::span<const double>) const override { return 0; }

  void ToUnconstrained(std::span<const double> theta,
                       std::span<double> coordinates) const override {
    std::copy(theta.begin(), theta.end(), coordinates.begin());
  }
  void FromUnconstrained(std::span<const double> coordinates, std::span<const double> reference,
                         std::span<double> theta) const override {
    std::copy(coordinates.begin(), coordinates.end(), theta.begin());
    constraints_.Apply(theta);
    for (int k = 0; k < num_components_ && spherical_; ++k) Normalise(reference, k, theta);
  }
  void Reweigh(int, double, std::span<double>) const override {}  // centres have no weights
  bool can_respawn(int component) const override {
    return !JoinsComponents(constraints_, parameters_, component);
  }

  void Reference(const Summary& summary, std::span<double> theta) const override {
    for (size_t j = 0; j < theta.size(); ++j) {
      // Rows of unit length lie around 0, whatever the mean of the table's.
      theta[j] = spherical_ ? 0 : summary.mean[j % num_columns_];
    }
    constraints_.Apply(theta);
  }

  void Infer(const Prepared& prepared, const Block& block, Workspace& workspace,
             RowOutputs outputs) const override {
    const KMeansPrepared& mine = Cast(prepared);
    KMeansWorkspace& work = Cast(workspace);
    const Block rows = Rows(block, work);
    Nearest(mine, rows, work, work.own.data(), work.second.data(), work.label.data());
    for (int k = 0; k < num_components_; ++k) {
      const int64_t begin = static_cast<int64_t>(k) * block.stride;
      if (outputs.component_log_density != nullptr) {
        Distances(mine, rows, k, work.distance.data());
        for (int i = 0; i < block.stride; ++i) {
          outputs.component_log_density[begin + i] = -work.distance[i];
        }
      }
      for (int i = 0; i < block.stride && outputs.posterior != nullptr; ++i) {
        outputs.posterior[begin + i] = work.label[i] == k ? 1 : 0;
      }
    }
    for (int i = 0; i < block.stride && outputs.log_density != nullptr; ++i) {
      outputs.log_density[i] = -work.own[i];
    }
    if (outputs.conditional_mean == nullptr) return;
    for (int c = 0; c < num_columns_; ++c) {
      const int64_t column = static_cast<int64_t>(c) * block.stride;
      for (int i = 0; i < block.stride; ++i) {
        const double x = block.values[column + i];
        const double centre = mine.centres[static_cast<int64_t>(work.label[i]) * num_columns_ + c];
        outputs.conditional_mean[column + i] = std::isnan(x) ? centre : x;
        outputs.conditional_variance[column + i] = 0;
      }
    }
  }

  // The limit of vanishing variance: a centre itself, each as likely as another.
  int Sample(const Prepared& prepared, Random& random, std::span<double> row) const override {
    const auto k = static_cast<int64_t>(random.Below(num_components_));
    std::copy_n(Cast(prepared).centres.begin() + k * num_columns_, num_columns_, row.begin());
    return static_cast<int>(k);
  }

 private:
  // The block, or with spherical its rows divided by their lengths.
  Block Rows(const Block& block, KMeansWorkspace& work) const {
    if (!spherical_) return block;
    std::fill_n(work.distance.data(), block.stride, 0.0);
    for (int c = 0; c < num_columns_; ++c) {
      const double* const x = block.column(c);
      for (int i = 0; i < block.stride; ++i) work.distance[i] += x[i] * x[i];
    }
    for (int c = 0; c < num_columns_; ++c) {
      const double* const x = block.column(c);
      double* const to = work.rows.data() + static_cast<int64_t>(c) * block.stride;
      for (int i = 0; i < block.stride; ++i) {
        to[i] = work.distance[i] > 0 ? x[i] / std::sqrt(work.distance[i]) : 0;
      }
    }
    Block rows = block;
    rows.values = work.rows.data();
    return rows;
  }

  // Squared distances to one centre over the observed cells; infinite where labels exclude it.
  void Distances(const KMeansPrepared& prepared, const Block& rows, int k, double* to) const {
    const double* const centre = prepared.centres.data() + static_cast<int64_t>(k) * num_columns_;
    if (rows.complete) {
      DiagonalSquares(rows.values, rows.stride, num_columns_, centre, unit_.data(), to);
    } else {
      std::fill_n(to, rows.stride, 0.0);
      for (int c = 0; c < num_columns_; ++c) {
        const double* const x = rows.column(c);
        for (int i = 0; i < rows.stride; ++i) {
          const double z = x[i] - centre[c];
          to[i] += std::isnan(z) ? 0 : z * z;
        }
      }
    }
    if (rows.log_labels == nullptr) return;
    const double* const labels = rows.log_labels + static_cast<int64_t>(k) * rows.stride;
    for (int i = 0; i < rows.stride; ++i) {
      if (std::isinf(labels[i])) to[i] = kInfinity;
    }
  }

  // The nearest and second nearest squared distance of every row, and the nearest centre.
  void Nearest(const KMeansPrepared& prepared, const Block& rows, KMeansWorkspace& work,
               double* nearest, double* second, int* label) const {
    std::fill_n(nearest, rows.stride, kInfinity);
    std::fill_n(second, rows.stride, kInfinity);
    std::fill_n(label, rows.stride, 0);
    for (int k = 0; k < num_components_; ++k) {
      Distances(prepared, rows, k, work.distance.data());
      const double* const distance = work.distance.data();
      for (int i = 0; i < rows.stride; ++i) {
        const bool closer = distance[i] < nearest[i];
        second[i] = closer ? nearest[i] : std::min(second[i], distance[i]);
        nearest[i] = closer ? distance[i] : nearest[i];
        label[i] = closer ? k : label[i];
      }
    }
  }

  // As Nearest, but for rows whose bound shows that their centre is still the nearest; those get
  // its distance only. That has the value of Nearest's up to the rounding of its last bits, as the
  // kernels fuse products and sums where the machine can; kMargin is far above it.
  void AssignBounded(const KMeansPrepared& prepared, const Block& rows,
                     KMeansWorkspace& work) const {
    Bound* const bounds = prepared.Bounds(num_rows_) + rows.first_row;
    for (int i = 0; i < rows.num_rows; ++i) {
      const bool known = bounds[i].pass != 0 && bounds[i].pass + 1 == prepared.pass;
      work.label[i] = known ? bounds[i].label : 0;
      work.nearest[i] =
          known ? bounds[i].others - (bounds[i].label == prepared.mover ? prepared.second_moved
                                                                        : prepared.most_moved)
                : -1;
    }
    std::fill_n(work.own.data(), rows.stride, 0.0);
    for (int c = 0; c < num_columns_; ++c) {
      const double* const x = rows.column(c);
      const double* const centre =
          prepared.by_column.data() + static_cast<int64_t>(c) * num_components_;
      for (int i = 0; i < rows.num_rows; ++i) {
        const double z = x[i] - centre[work.label[i]];
        work.own[i] += z * z;
      }
    }
    int num_open = 0;
    for (int i = 0; i < rows.num_rows; ++i) {
      const double distance = std::sqrt(work.own[i]);
      bounds[i].pass = prepared.pass;
      if (distance * (1 + kMargin) < work.nearest[i]) {
        bounds[i].others = work.nearest[i];
      } else {
        work.open[num_open++] = i;
      }
    }
    if (num_open == 0) return;
    const int stride = PaddedRows(num_open);
    for (int c = 0; c < num_columns_; ++c) {
      const double* const from = rows.column(c);
      double* const to = work.gathered.data() + static_cast<int64_t>(c) * stride;
      for (int j = 0; j < num_open; ++j) to[j] = from[work.open[j]];
      std::fill(to + num_open, to + stride, 0.0);
    }
    const Block open{.num_rows = num_open,
                     .stride = stride,
                     .num_columns = num_columns_,
                     .values = work.gathered.data()};
    Nearest(prepared, open, work, work.nearest.data(), work.second.data(),
            work.label_gathered.data());
    for (int j = 0; j < num_open; ++j) {
      const int i = work.open[j];
      work.label[i] = bounds[i].label = work.label_gathered[j];
      work.own[i] = work.nearest[j];
      bounds[i].others = std::sqrt(work.second[j]);
    }
  }

  double Length(std::span<const double> theta, int k) const {
    double squares = 0;
    for (const double x : theta.subspan(static_cast<size_t>(k) * num_columns_, num_columns_)) {
      squares += x * x;
    }
    return std::sqrt(squares);
  }

  // Divides centre k by its length. One without a direction becomes that of `fallback`, or the
  // first axis where that has length 0 too; false then.
  bool Normalise(std::span<const double> fallback, int k, std::span<double> theta) const {
    const auto begin = static_cast<size_t>(k) * num_columns_;
    const std::span<double> centre = theta.subspan(begin, num_columns_);
    const double length = Length(theta, k);
    if (length > 0) {
      for (double& x : centre) x /= length;
      return true;
    }
    if (Length(fallback, k) > 0) {
      std::copy_n(fallback.begin() + begin, num_columns_, centre.begin());
    } else {
      std::fill(centre.begin(), centre.end(), 0.0);
      centre[0] = 1;
    }
    return false;
  }

  const int num_components_;
  const int num_columns_;
  const int64_t num_rows_;
  const bool spherical_;
  const std::vector<double> unit_;
  Constraints constraints_;
  Layout parameters_;
  Layout statistics_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Model>> MakeKMeans(const KMeansHyperparameters& hyperparameters,
                                                  const Summary& summary,
                                                  const std::vector<std::string>& names) {
  for (size_t c = 0; c < names.size(); ++c) {
    if (!(summary.minimum[c] <= summary.maximum[c])) {
      return absl::FailedPreconditionError(absl::StrCat(
          "columns[", names[c], "]: got no observed cell, must have some; leave the column out"));
    }
    if (hyperparameters.spherical && !summary.complete() && summary.observed[c] < 1) {
      return absl::FailedPreconditionError(
          absl::StrCat("columns[", names[c],
                       "]: got missing cells, must be complete for spherical "
                       "k-means; leave the column or the rows out"));
    }
  }
  auto model =
      std::make_unique<KMeans>(hyperparameters.num_components, hyperparameters.spherical, summary);
  if (!hyperparameters.constraints.empty()) {
    if (absl::Status status = model->Constrain(hyperparameters.constraints); !status.ok()) {
      return status;
    }
  }
  return model;
}

}  // namespace emserve
