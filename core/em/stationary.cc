#include "core/em/stationary.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/numerics/cancellation.h"
#include "core/numerics/wide.h"

namespace emserve {
namespace {

constexpr int kMaxSteps = 100;
constexpr int kMaxHalvings = 30;
// A gain below this part of the objective is rounding.
constexpr double kGain = 1e-14;

using Square = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// Meaningless once `stop` is requested, as what else takes it here.
double Objective(const SimplexRows& rows, std::span<const double> counts,
                 std::span<const double> initial_counts, std::span<const double> transitions,
                 std::span<const double> stationary, const std::stop_token& stop) {
  const size_t size = stationary.size();
  double sum = rows.LogPrior(transitions);
  for (size_t i = 0; i < size && !stop.stop_requested(); ++i) {
    for (size_t j = i * size; j < (i + 1) * size; ++j) {
      if (counts[j] > 0) sum += counts[j] * std::log(transitions[j]);
    }
  }
  for (size_t k = 0; k < size; ++k) {
    if (initial_counts[k] > 0) sum += initial_counts[k] * std::log(stationary[k]);
  }
  return sum;
}

bool IsPositive(double a) { return a > 0; }
bool IsPositive(Wide a) { return a.significand > 0; }
double Ratio(double a, double b) { return a / b; }
Wide Ratio(Wide a, Wide b) { return a * Inverse(b); }
template <typename Number>
Number From(double a) {
  if constexpr (std::is_same_v<Number, double>) {
    return a;
  } else {
    const Wide once = Settled(a, 0);  // twice, for what is below 2^-768
    return Settled(once.significand, once.exponent);
  }
}

// Whether doubles are on their way out of their range, though they are positive.
bool IsLost(double product) {
  constexpr double kVanishing = 1e-280;
  return !(product >= kVanishing && product <= 1 / kVanishing);
}

// A chain [K, K] in doubles or numbers of wide range from which states are taken, the last one
// first, as if nobody looked while it is in them: what leads through them then leads on at once
// (Grassmann, Taksar & Heyman 1985). Nothing is subtracted.
template <typename Number>
class Censored {
 public:
  // O(K^3).
  Censored(std::span<const double> transitions, size_t num_states, const std::stop_token& stop)
      : size_(num_states) {
    a_.reserve(transitions.size());
    for (const double p : transitions) a_.push_back(From<Number>(p));
    const std::function<bool()> stopped = [&stop] { return stop.stop_requested(); };
    Cancellation cancellation(stopped);
    for (size_t n = size_; n-- > 1;) {
      const Number* const of_state = a_.data() + n * size_;
      const Number out = Leaving(n);
      if (!IsPositive(out)) {
        // Once it is entered it keeps all there is; if it never is, it goes without.
        for (size_t i = 0; i < n && root_ == 0; ++i) root_ = IsPositive(a_[i * size_ + n]) ? n : 0;
        if (root_ > 0) return;
        continue;
      }
      const double least = Least(n);
      for (size_t i = 0; i < n; ++i) {
        Number* const row = a_.data() + i * size_;
        if (!IsPositive(row[n])) continue;
        const Number visits = row[n] = Ratio(row[n], out);
        if constexpr (std::is_same_v<Number, double>) {
          exact_ = exact_ && !IsLost(visits) && !IsLost(visits * least);
        }
        for (size_t j = 0; j < n; ++j) row[j] = row[j] + visits * of_state[j];
        if (cancellation.After(static_cast<int64_t>(n))) return;
      }
    }
  }

  // Its stationary distribution; false, with one that may be wrong, where doubles have lost
  // something on the way. O(K^2).
  bool Stationary(std::span<double> stationary) {
    std::vector<Number> visits(size_);
    Number sum = visits[root_] = From<Number>(1);
    for (size_t n = root_ + 1; n < size_; ++n) {
      for (size_t i = root_; i < n; ++i) {
        const Number& each = a_[i * size_ + n];
        if (!IsPositive(visits[i]) || !IsPositive(each)) continue;
        const Number product = visits[i] * each;
        if constexpr (std::is_same_v<Number, double>) exact_ = exact_ && !IsLost(product);
        visits[n] = visits[n] + product;
      }
      sum = sum + visits[n];
    }
    for (size_t k = 0; k < size_; ++k) {
      if constexpr (std::is_same_v<Number, double>) {
        stationary[k] = visits[k] / sum;
      } else {
        stationary[k] = ToDouble(Ratio(visits[k], sum));
      }
    }
    return exact_;
  }

  // x [K] with x = A x + y up to a constant, of doubles, where the states are in the long run:
  // precondition: y is 0 there on average. O(K^2).
  std::vector<double> Solve(std::vector<double> y) const {
    for (size_t n = size_; n-- > root_ + 1;) {
      if (!(Leaving(n) > 0)) continue;
      for (size_t i = 0; i < n; ++i) y[i] += a_[i * size_ + n] * y[n];
    }
    std::vector<double> x(size_);
    for (size_t n = root_ + 1; n < size_; ++n) {
      const double out = Leaving(n);
      if (!(out > 0)) continue;
      x[n] = y[n];
      for (size_t j = root_; j < n; ++j) x[n] += a_[n * size_ + j] * x[j];
      x[n] /= out;
    }
    return x;
  }

 private:
  // The sum of n's transitions to the states before it.
  Number Leaving(size_t n) const {
    Number sum{};
    for (size_t j = 0; j < n; ++j) sum = sum + a_[n * size_ + j];
    return sum;
  }
  // The smallest positive one of them; of doubles.
  double Least(size_t n) const {
    double least = 1;
    if constexpr (std::is_same_v<Number, double>) {
      for (size_t j = 0; j < n; ++j) {
        const double to = a_[n * size_ + j];
        if (to > 0) least = std::min(least, to);
      }
    }
    return least;
  }

  size_t size_;
  // [i, n] with i < n: visits to n, in between those to states before it, for each to i. [n, j]
  // with j < n: transitions when n was the last state.
  std::vector<Number> a_;
  size_t root_ = 0;  // states before it are left for good
  bool exact_ = true;
};

void FindStationary(std::span<const double> transitions, const std::stop_token& stop,
                    std::span<double> stationary) {
  if (Censored<double>(transitions, stationary.size(), stop).Stationary(stationary)) return;
  if (stop.stop_requested()) return;
  Censored<Wide>(transitions, stationary.size(), stop).Stationary(stationary);
}

// counts_ij + a_ij d(sum initial_counts log p)/d a_ij, where the derivative is of rows that keep
// their sums, up to a constant of the row that makes it positive: p_i (Z w)_j with w = initial
// counts / p and the fundamental matrix Z = (I - A + 1 p')^-1 (Schweitzer 1968). But for a constant
// Z w solves x = A x + w - p'w.
std::vector<double> Grown(std::span<const double> counts, std::span<const double> initial_counts,
                          std::span<const double> transitions, const std::stop_token& stop) {
  const size_t size = initial_counts.size();
  std::vector<double> p(size);
  FindStationary(transitions, stop, p);
  std::vector<double> w(size);
  double total = 0;
  for (size_t k = 0; k < size; ++k) {
    if (!(initial_counts[k] > 0)) continue;
    w[k] = initial_counts[k] / p[k];
    total += initial_counts[k];
  }
  for (double& value : w) value -= total;
  const std::vector<double> value = Censored<double>(transitions, size, stop).Solve(std::move(w));
  std::vector<double> grown(counts.begin(), counts.end());
  const auto is_finite = [](double x) { return std::isfinite(x); };
  if (!std::all_of(value.begin(), value.end(), is_finite)) return grown;
  const double least = *std::min_element(value.begin(), value.end());
  for (size_t i = 0; i < size; ++i) {
    for (size_t j = 0; j < size; ++j) {
      grown[i * size + j] += transitions[i * size + j] * p[i] * (value[j] - least);
    }
  }
  return grown;
}

// Marks what can be reached from `first`, itself included, or can reach it, backwards; marked
// states are not looked at again.
void Reach(std::span<const double> transitions, size_t first, bool backwards,
           std::vector<char>& reached) {
  const size_t size = reached.size();
  MarkReached(
      first,
      [&](size_t i, size_t j) { return transitions[backwards ? j * size + i : i * size + j] > 0; },
      reached);
}

}  // namespace

void StationaryDistribution(std::span<const double> transitions, std::span<double> stationary) {
  FindStationary(transitions, std::stop_token(), stationary);
}

std::vector<double> LongRunShares(std::span<const double> transitions,
                                  std::span<const double> durations) {
  const size_t size = durations.size();
  // If any state is within reach of all, the last one is that no state before it can be reached
  // from.
  size_t goal = 0;
  std::vector<char> leads(size);
  for (size_t k = 0; k < size; ++k) {
    if (leads[k]) continue;
    goal = k;
    Reach(transitions, k, /*backwards=*/true, leads);
  }
  std::fill(leads.begin(), leads.end(), 0);
  Reach(transitions, goal, /*backwards=*/true, leads);
  if (std::find(leads.begin(), leads.end(), 0) != leads.end()) return {};
  // What it reaches also reaches it: the class that is never left.
  std::vector<char> kept(size);
  Reach(transitions, goal, /*backwards=*/false, kept);
  std::vector<double> within;
  for (size_t i = 0; i < size; ++i) {
    for (size_t j = 0; j < size; ++j) {
      if (kept[i] && kept[j]) within.push_back(transitions[i * size + j]);
    }
  }
  std::vector<double> visits(std::count(kept.begin(), kept.end(), 1));
  StationaryDistribution(within, visits);
  std::vector<double> shares(size);
  double sum = 0;
  size_t next = 0;
  for (size_t k = 0; k < size; ++k) {
    if (kept[k]) sum += shares[k] = visits[next++] * durations[k];
  }
  for (double& share : shares) share /= sum;
  return shares;
}

std::vector<double> ExpectedVisits(std::span<const double> initial,
                                   std::span<const double> transitions, double length) {
  constexpr double kMostSteps = 1e15;
  const auto size = static_cast<Eigen::Index>(initial.size());
  auto left = static_cast<int64_t>(std::clamp(std::round(length), 1.0, kMostSteps));
  const double scale = length / static_cast<double>(left);
  // Of 2^p steps: where they lead, and the sum of where all steps before lead.
  Square power = Eigen::Map<const Square>(transitions.data(), size, size);
  Square sum = Square::Identity(size, size);
  Eigen::RowVectorXd at = Eigen::Map<const Eigen::RowVectorXd>(initial.data(), size);
  Eigen::RowVectorXd visits = Eigen::RowVectorXd::Zero(size);
  for (; left > 0; left /= 2) {
    if (left % 2 == 1) {
      visits += scale * at * sum;
      at = (at * power).eval();
    }
    sum += (power * sum).eval();
    power = (power * power).eval();
  }
  return {visits.begin(), visits.end()};
}

absl::Status MaximizeStationary(const SimplexRows& rows, std::span<const double> counts,
                                std::span<const double> initial_counts, std::span<const double> now,
                                std::span<double> next, std::span<double> stationary,
                                const std::stop_token& stop) {
  const size_t size = initial_counts.size();
  const std::vector<char> none(size);
  std::vector<double> at(now.begin(), now.end());
  std::vector<double> best(at.size());
  const auto value = [&](std::span<const double> transitions) {
    FindStationary(transitions, stop, stationary);
    return Objective(rows, counts, initial_counts, transitions, stationary, stop);
  };
  double reached = value(at);
  for (int step = 0; step < kMaxSteps && !stop.stop_requested(); ++step) {
    absl::Status status =
        rows.Maximize(Grown(counts, initial_counts, at, stop), none, at, best, stop);
    if (!status.ok()) return status;
    double gained = value(best);
    // Half the way, which keeps all constraints, and half of that: upwards at last.
    for (int halving = 0; halving < kMaxHalvings && !(gained >= reached); ++halving) {
      if (stop.stop_requested()) break;
      for (size_t j = 0; j < best.size(); ++j) best[j] = (at[j] + best[j]) / 2;
      gained = value(best);
    }
    if (!(gained >= reached)) break;
    const double gain = gained - reached;
    at = best;
    reached = gained;
    if (!(gain > kGain * (1 + std::abs(reached)))) break;
  }
  FindStationary(at, stop, stationary);
  if (stop.stop_requested()) return absl::CancelledError("stop was requested");
  std::copy(at.begin(), at.end(), next.begin());
  return absl::OkStatus();
}

}  // namespace emserve
