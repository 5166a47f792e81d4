#include "core/em/tied_rows.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <utility>

#include "core/numerics/cancellation.h"

namespace emserve {
namespace {

using Vector = Eigen::VectorXd;
using Matrix = Eigen::MatrixXd;
using Groups = std::vector<std::vector<TiedRows::Member>>;

// Pivots of a matrix with ones on its diagonal: those below are rounding.
constexpr double kPivot = 1e-14;
// The same for sums of whole numbers, which depend on each other or do not.
constexpr double kWholePivot = 1e-10;

// M values, [R]: where M [R, G] holds how often a group is in a row.
Vector RowSums(const Groups& groups, const Vector& values, Eigen::Index num_rows) {
  Vector sums = Vector::Zero(num_rows);
  for (size_t g = 0; g < groups.size(); ++g) {
    for (const auto& [row, times] : groups[g]) sums[row] += static_cast<double>(times) * values[g];
  }
  return sums;
}

// M' multipliers, [G].
Vector Slopes(const Groups& groups, const Vector& multipliers) {
  Vector slopes = Vector::Zero(static_cast<Eigen::Index>(groups.size()));
  for (size_t g = 0; g < groups.size(); ++g) {
    for (const auto& [row, times] : groups[g]) {
      slopes[g] += static_cast<double>(times) * multipliers[row];
    }
  }
  return slopes;
}

// M diag(weights) M', [R, R]. Meaningless once `stop` is requested, as what else takes it here.
Matrix Products(const Groups& groups, const Vector& weights, Eigen::Index num_rows,
                const std::stop_token& stop) {
  const std::function<bool()> stopped = [&stop] { return stop.stop_requested(); };
  Cancellation cancellation(stopped);
  Matrix products = Matrix::Zero(num_rows, num_rows);
  for (size_t g = 0; g < groups.size(); ++g) {
    for (const auto& [row, times] : groups[g]) {
      const double scaled = static_cast<double>(times) * weights[g];
      for (const auto& [other, of_other] : groups[g]) {
        products(row, other) += scaled * static_cast<double>(of_other);
      }
      if (cancellation.After(static_cast<int64_t>(groups[g].size()))) return products;
    }
  }
  return products;
}

// A positive semidefinite matrix, factored; directions that rounding hides are left out.
class Factored {
 public:
  Factored(const Matrix& matrix, double least_pivot, const std::stop_token& stop)
      : order_(matrix.rows()) {
    scale_ = matrix.diagonal().unaryExpr([](double d) { return d > 0 ? 1 / std::sqrt(d) : 0; });
    factor_ = scale_.asDiagonal() * matrix * scale_.asDiagonal();
    order_.setIdentity();
    for (Eigen::Index k = 0; k < factor_.rows() && !stop.stop_requested(); ++k) Column(k);
    pivots_ = factor_.diagonal().unaryExpr([&](double d) { return d > least_pivot ? 1 / d : 0; });
  }
  Vector Solve(const Vector& y) const {
    Vector x = order_ * Vector(scale_.cwiseProduct(y));
    factor_.triangularView<Eigen::UnitLower>().solveInPlace(x);
    x = x.cwiseProduct(pivots_).eval();
    factor_.transpose().triangularView<Eigen::UnitUpper>().solveInPlace(x);
    x = (order_.transpose() * x).eval();
    return scale_.cwiseProduct(x);
  }
  // Rows that no others make up.
  std::vector<int> Independent() const {
    Vector order = Vector::LinSpaced(scale_.size(), 0, static_cast<double>(scale_.size() - 1));
    order = (order_ * order).eval();
    std::vector<int> rows;
    for (Eigen::Index i = 0; i < pivots_.size(); ++i) {
      if (pivots_[i] > 0) rows.push_back(static_cast<int>(std::lround(order[i])));
    }
    std::sort(rows.begin(), rows.end());
    return rows;
  }

 private:
  // Column k of L D L', the matrix with rows and columns in another order, from those before it
  // (Golub & Van Loan 2013, section 4.2). Eigen's own ends with the last one, whatever has come
  // up. O(R^2).
  void Column(Eigen::Index k) {
    Eigen::Index pivot = 0;
    factor_.diagonal().tail(factor_.rows() - k).cwiseAbs().maxCoeff(&pivot);
    pivot += k;
    order_.coeffRef(k) = static_cast<int>(pivot);
    const Eigen::Index below = factor_.rows() - k - 1;
    if (pivot != k) {
      const Eigen::Index beyond = factor_.rows() - pivot - 1;
      factor_.row(k).head(k).swap(factor_.row(pivot).head(k));
      factor_.col(k).tail(beyond).swap(factor_.col(pivot).tail(beyond));
      std::swap(factor_(k, k), factor_(pivot, pivot));
      for (Eigen::Index i = k + 1; i < pivot; ++i) std::swap(factor_(i, k), factor_(pivot, i));
    }
    if (k > 0) {
      const Vector scaled =
          factor_.diagonal().head(k).cwiseProduct(factor_.row(k).head(k).transpose());
      factor_(k, k) -= factor_.row(k).head(k).dot(scaled);
      factor_.col(k).tail(below).noalias() -= factor_.bottomLeftCorner(below, k) * scaled;
    }
    if (factor_(k, k) != 0) factor_.col(k).tail(below) /= factor_(k, k);
  }

  Vector scale_;
  Eigen::Transpositions<Eigen::Dynamic> order_;
  Matrix factor_;  // L below its diagonal, D on it
  Vector pivots_;  // inverses of D's, or 0
};

// The members in `rows`, numbered in their order.
Groups Within(const Groups& groups, const std::vector<int>& rows, size_t num_rows) {
  std::vector<int> place(num_rows, -1);
  for (size_t i = 0; i < rows.size(); ++i) place[rows[i]] = static_cast<int>(i);
  Groups within(groups.size());
  for (size_t g = 0; g < groups.size(); ++g) {
    for (const auto& [row, times] : groups[g]) {
      if (place[row] >= 0) within[g].push_back({place[row], times});
    }
  }
  return within;
}

Vector AsVector(std::span<const double> values) {
  return Eigen::Map<const Vector>(values.data(), static_cast<Eigen::Index>(values.size()));
}

// Where sum counts log v is largest, by damped Newton steps on its dual
// D(lambda) = masses' lambda - sum counts log (M' lambda). Empty where D has no bound.
Vector MinimizeDual(const Groups& groups, const Vector& masses, const Vector& most,
                    const Vector& counts) {
  constexpr int kMostSteps = 300;
  constexpr double kConverged = 1e-24;  // squared decrement, of counts of at least 1
  constexpr double kLeast = 1e-11;      // of the most that a value can be
  Vector multipliers = Vector::Constant(masses.size(), counts.sum() / masses.sum());
  Vector slopes = Slopes(groups, multipliers);
  Vector values = counts.cwiseQuotient(slopes);
  for (int step = 0; step < kMostSteps; ++step) {
    const Vector residual = RowSums(groups, values, masses.size()) - masses;
    const Factored hessian(Products(groups, counts.cwiseQuotient(slopes.cwiseAbs2()), masses.size(),
                                    std::stop_token()),
                           kPivot, std::stop_token());
    const Vector along = hessian.Solve(residual);
    const double decrement = residual.dot(along);
    const Vector change = Slopes(groups, along);
    const double linear = masses.dot(along);
    double length = 1;
    for (int halving = 0; halving < 60; ++halving, length /= 2) {
      const Vector ratio = Vector::Ones(slopes.size()) + length * change.cwiseQuotient(slopes);
      if (!(ratio.minCoeff() > 0)) continue;
      const double fall = counts.dot(ratio.array().log().matrix()) - length * linear;
      if (fall >= 0.1 * length * decrement || decrement < 1e-6) break;
    }
    multipliers += length * along;
    slopes = Slopes(groups, multipliers);
    values = counts.cwiseQuotient(slopes);
    if (!(slopes.minCoeff() > 0) || !(values.cwiseQuotient(most).minCoeff() > kLeast)) return {};
    if (decrement <= kConverged) return values;
  }
  const Vector off = (RowSums(groups, values, masses.size()) - masses).cwiseQuotient(masses);
  return off.cwiseAbs().maxCoeff() < 1e-9 ? values : Vector();
}

}  // namespace

std::optional<TiedRows> TiedRows::Make(std::vector<std::vector<Member>> groups,
                                       const std::vector<double>& masses, double tolerance) {
  const auto num_rows = static_cast<Eigen::Index>(masses.size());
  const auto num_groups = static_cast<Eigen::Index>(groups.size());
  TiedRows made;
  Vector counts = Vector::Zero(num_groups);
  for (Eigen::Index g = 0; g < num_groups; ++g) {
    double most = std::numeric_limits<double>::infinity();
    for (const auto& [row, times] : groups[g]) {
      counts[g] += static_cast<double>(times);
      most = std::min(most, masses[row] / static_cast<double>(times));
    }
    made.most_.push_back(most);
  }
  const Factored whole(Products(groups, Vector::Ones(num_groups), num_rows, std::stop_token()),
                       kWholePivot, std::stop_token());
  // What the least squares of the rows leave shows rows that contradict others.
  const Vector fitted = RowSums(groups, Slopes(groups, whole.Solve(AsVector(masses))), num_rows);
  if (!((fitted - AsVector(masses)).cwiseAbs().maxCoeff() <= tolerance)) return std::nullopt;
  const std::vector<int> independent = whole.Independent();
  made.independent_ = Within(groups, independent, masses.size());
  for (const int row : independent) made.masses_.push_back(masses[row]);
  made.groups_ = std::move(groups);
  const Vector even =
      MinimizeDual(made.independent_, AsVector(made.masses_), AsVector(made.most_), counts);
  if (even.size() == 0) return std::nullopt;
  const Vector slopes = counts.cwiseQuotient(even) / counts.sum();
  made.even_.assign(even.begin(), even.end());
  made.slopes_.assign(slopes.begin(), slopes.end());
  return made;
}

int64_t TiedRows::num_free(const std::vector<bool>& active) const {
  std::vector<int> rows;
  for (size_t row = 0; row < active.size(); ++row) {
    if (active[row]) rows.push_back(static_cast<int>(row));
  }
  const Groups within = Within(groups_, rows, active.size());
  const auto num_rows = static_cast<Eigen::Index>(rows.size());
  const Vector ones = Vector::Ones(static_cast<Eigen::Index>(within.size()));
  const auto rank = static_cast<int64_t>(
      Factored(Products(within, ones, num_rows, std::stop_token()), kWholePivot, std::stop_token())
          .Independent()
          .size());
  return std::count_if(within.begin(), within.end(), [](const auto& g) { return !g.empty(); }) -
         rank;
}

// Values on their way to v_g s_g = targets_g, M v = masses.
struct TiedRows::Search {
  Search(const TiedRows& rows, std::stop_token of_search)
      : groups(rows.independent_),
        stop(std::move(of_search)),
        masses(AsVector(rows.masses_)),
        values(AsVector(rows.even_)),
        slopes(AsVector(rows.slopes_)) {}

  // One Newton step, as far as all stay positive.
  void Step(const Vector& targets) {
    const Vector weights = values.cwiseQuotient(slopes);
    const Factored products(Products(groups, weights, masses.size(), stop), kPivot, stop);
    const Vector wanted = targets.cwiseQuotient(slopes);  // values at these slopes
    const Vector along = products.Solve(RowSums(groups, wanted, masses.size()) - masses);
    const Vector of_slopes = Slopes(groups, along);
    const Vector of_values = wanted - values - weights.cwiseProduct(of_slopes);
    values += Longest(values, of_values) * of_values;
    slopes += Longest(slopes, of_slopes) * of_slopes;
  }

  static double Longest(const Vector& from, const Vector& change) {
    constexpr double kShare = 0.9;  // of the way to 0
    const double steepest = (-change.cwiseQuotient(from)).maxCoeff();
    return steepest > kShare ? kShare / steepest : 1;
  }

  // Fills the rows up to rounding, first where that costs least; false if some do not. Zeros stay.
  bool Fill(const Vector& most, Vector& filled) const {
    constexpr double kRounding = 4e-15;
    constexpr double kLeastWeight = 1e-6;
    for (int round = 0; round < 6 && !stop.stop_requested(); ++round) {
      const Vector missing = masses - RowSums(groups, filled, masses.size());
      if (missing.cwiseQuotient(masses).cwiseAbs().maxCoeff() <= kRounding) return true;
      const Vector weights =
          round < 2 ? Vector(filled.cwiseQuotient(slopes))
                    : Vector(filled.cwiseMax(kLeastWeight * most)
                                 .cwiseProduct((filled.array() > 0).cast<double>().matrix()));
      const Factored products(Products(groups, weights, masses.size(), stop), kPivot, stop);
      const Vector tried = filled + weights.cwiseProduct(Slopes(groups, products.Solve(missing)));
      if (!(tried.minCoeff() >= 0)) return false;
      filled = tried;
    }
    return false;
  }

  const Groups& groups;
  const std::stop_token stop;
  const Vector masses;
  Vector values;
  Vector slopes;
};

absl::Status TiedRows::Maximize(std::span<const double> counts, std::span<const double> now,
                                std::span<double> next, const std::stop_token& stop) const {
  constexpr int kMostSteps = 200;
  constexpr double kGrowth = 100;  // of targets from one step to the next, at most
  constexpr double kConverged = 1e-13;
  constexpr double kNear = 1e-6;
  constexpr int kMostNear = 40;
  constexpr double kFloor = 1e-18;    // of the sum of counts: of a group without any
  constexpr double kLeastNow = 1e-6;  // of the most that a value can be
  constexpr double kZero = 1e-14;     // of it: 0 but for the floor
  constexpr double kRounding = 1e-14;
  constexpr double kFills = 1e-12;  // how well `now` has to fill the rows to stay

  const auto num_groups = static_cast<Eigen::Index>(groups_.size());
  const Vector most = AsVector(most_);
  const Vector before = AsVector(now);
  Vector shares = AsVector(counts).cwiseMax(0);
  const Vector missing =
      AsVector(masses_) - RowSums(independent_, before, static_cast<Eigen::Index>(masses_.size()));
  const bool fills = missing.cwiseQuotient(AsVector(masses_)).cwiseAbs().maxCoeff() <= kFills &&
                     before.minCoeff() >= 0;
  if (!(shares.sum() > 0)) {
    std::copy(now.begin(), now.end(), next.begin());
    if (fills) return absl::OkStatus();
    shares = before.cwiseMax(0);  // the nearest values that do
    if (!(shares.sum() > 0)) shares = AsVector(even_);
  }
  shares /= shares.sum();
  const Vector floor = kFloor * before.cwiseQuotient(most).cwiseMax(kLeastNow).cwiseMin(1.0);
  const Vector goals = shares.cwiseMax(floor);
  Search search(*this, stop);
  int near = 0;
  for (int step = 0; step < kMostSteps && !stop.stop_requested(); ++step) {
    const Vector reached = search.values.cwiseProduct(search.slopes);
    // Relative distances of those with counts and of those without, whose goals only have to
    // vanish.
    double off = 0;
    double off_floor = 0;
    for (Eigen::Index g = 0; g < num_groups; ++g) {
      double& farthest = shares[g] > floor[g] ? off : off_floor;
      farthest = std::max(farthest, std::abs(reached[g] / goals[g] - 1));
    }
    if (off <= kConverged && off_floor <= kNear) break;
    if (off <= kNear && ++near > kMostNear) break;  // rounding keeps them from more
    search.Step(goals.cwiseMin(kGrowth * reached).cwiseMax(reached / kGrowth));
  }
  const auto gain = [&](const Vector& from, const Vector& to) {
    double sum = 0;
    for (Eigen::Index g = 0; g < num_groups; ++g) {
      if (shares[g] > 0) sum += shares[g] * std::log(to[g] / from[g]);
    }
    return sum;
  };
  Vector values = search.values;
  search.Fill(most, values);
  // Without the floor, and what was 0 remains 0 where that costs nothing.
  Vector zeros = search.values;
  for (Eigen::Index g = 0; g < num_groups; ++g) {
    const bool was_zero = !(shares[g] > 0) && !(before[g] > 0);
    const double zero = (was_zero ? 10 * kLeastNow : kZero) * most[g];
    if (shares[g] < floor[g] && zeros[g] < zero) zeros[g] *= shares[g] / floor[g];
  }
  if (search.Fill(most, zeros) && gain(values, zeros) >= -kRounding) values = zeros;
  if (fills && !(gain(before, values) > 0)) values = before;
  if (stop.stop_requested()) return absl::CancelledError("stop was requested");
  std::copy(values.begin(), values.end(), next.begin());
  return absl::OkStatus();
}

}  // namespace emserve
