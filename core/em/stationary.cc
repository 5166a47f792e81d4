#include "core/em/stationary.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace emserve {
namespace {

constexpr int kMaxSteps = 100;
constexpr int kMaxHalvings = 30;
// A gain below this part of the objective is rounding.
constexpr double kGain = 1e-14;

using Square = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

double Objective(const SimplexRows& rows, std::span<const double> counts,
                 std::span<const double> initial_counts, std::span<const double> transitions,
                 std::span<const double> stationary) {
  double sum = rows.LogPrior(transitions);
  for (size_t j = 0; j < counts.size(); ++j) {
    if (counts[j] > 0) sum += counts[j] * std::log(transitions[j]);
  }
  for (size_t k = 0; k < initial_counts.size(); ++k) {
    if (initial_counts[k] > 0) sum += initial_counts[k] * std::log(stationary[k]);
  }
  return sum;
}

// counts_ij + a_ij d(sum initial_counts log p)/d a_ij, where the derivative is of rows that keep
// their sums, up to a constant of the row that makes it positive: p_i (Z w)_j with w = initial
// counts / p and the fundamental matrix Z = (I - A + 1 p')^-1 (Schweitzer 1968).
std::vector<double> Grown(std::span<const double> counts, std::span<const double> initial_counts,
                          std::span<const double> transitions, std::span<const double> stationary) {
  const auto size = static_cast<Eigen::Index>(stationary.size());
  const Eigen::Map<const Square> a(transitions.data(), size, size);
  const Eigen::Map<const Eigen::VectorXd> p(stationary.data(), size);
  Eigen::VectorXd w(size);
  for (Eigen::Index k = 0; k < size; ++k) {
    w[k] = initial_counts[k] > 0 ? initial_counts[k] / p[k] : 0;
  }
  const Square shifted =
      Square::Identity(size, size) - a + Eigen::VectorXd::Ones(size) * p.transpose();
  const Eigen::VectorXd value = shifted.partialPivLu().solve(w);
  std::vector<double> grown(counts.begin(), counts.end());
  if (!value.allFinite()) return grown;
  const double least = value.minCoeff();
  for (Eigen::Index i = 0; i < size; ++i) {
    for (Eigen::Index j = 0; j < size; ++j) {
      grown[i * size + j] += a(i, j) * p[i] * (value[j] - least);
    }
  }
  return grown;
}

// Marks what can be reached from `first`, itself included, or can reach it, backwards; marked
// states are not looked at again.
void Reach(std::span<const double> transitions, size_t first, bool backwards,
           std::vector<char>& reached) {
  const size_t size = reached.size();
  std::vector<size_t> open = {first};
  reached[first] = 1;
  while (!open.empty()) {
    const size_t i = open.back();
    open.pop_back();
    for (size_t j = 0; j < size; ++j) {
      if (reached[j] || !(transitions[backwards ? j * size + i : i * size + j] > 0)) continue;
      reached[j] = 1;
      open.push_back(j);
    }
  }
}

}  // namespace

void StationaryDistribution(std::span<const double> transitions, std::span<double> stationary) {
  const size_t size = stationary.size();
  std::vector<double> a(transitions.begin(), transitions.end());
  for (size_t n = size; n-- > 1;) {
    double out = 0;
    for (size_t j = 0; j < n; ++j) out += a[n * size + j];
    for (size_t i = 0; i < n && out > 0; ++i) a[i * size + n] /= out;
    if (!(out > 0)) {
      // Nothing leaves it to the states before: it keeps what it has.
      for (size_t i = 0; i < n; ++i) a[i * size + n] = 0;
    }
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = 0; j < n; ++j) a[i * size + j] += a[i * size + n] * a[n * size + j];
    }
  }
  double sum = stationary[0] = 1;
  for (size_t n = 1; n < size; ++n) {
    stationary[n] = 0;
    for (size_t i = 0; i < n; ++i) stationary[n] += stationary[i] * a[i * size + n];
    sum += stationary[n];
  }
  for (double& p : stationary) p /= sum;
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

void MaximizeStationary(const SimplexRows& rows, std::span<const double> counts,
                        std::span<const double> initial_counts, std::span<const double> now,
                        std::span<double> next) {
  const size_t size = initial_counts.size();
  const std::vector<char> none(size);
  std::vector<double> stationary(size);
  std::vector<double> at(now.begin(), now.end());
  std::vector<double> best(at.size());
  const auto value = [&](std::span<const double> transitions) {
    StationaryDistribution(transitions, stationary);
    return Objective(rows, counts, initial_counts, transitions, stationary);
  };
  double reached = value(at);
  for (int step = 0; step < kMaxSteps; ++step) {
    StationaryDistribution(at, stationary);
    rows.Maximize(Grown(counts, initial_counts, at, stationary), none, at, best);
    double gained = value(best);
    if (!(gained >= reached)) {
      // Half the way, which keeps all constraints, and half of that: upwards at last.
      for (int halving = 0; halving < kMaxHalvings && !(gained >= reached); ++halving) {
        for (size_t j = 0; j < best.size(); ++j) best[j] = (at[j] + best[j]) / 2;
        gained = value(best);
      }
      if (!(gained >= reached)) break;
    }
    const double gain = gained - reached;
    at = best;
    reached = gained;
    if (!(gain > kGain * (1 + std::abs(reached)))) break;
  }
  std::copy(at.begin(), at.end(), next.begin());
}

}  // namespace emserve
