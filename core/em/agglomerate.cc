#include "core/em/agglomerate.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <numeric>

#include "core/em/sample.h"

namespace emserve {
namespace {

struct Merge {
  double cost = 0;
  int a = 0;  // a row of either cluster
  int b = 0;
};

// Clusters while they merge: each is represented by its first row.
class Clusters {
 public:
  explicit Clusters(const Block& rows) : num_columns_(rows.num_columns) {
    for (int i = 0; i < rows.num_rows; ++i) {
      if (!(rows.weights[i] > 0)) continue;
      row_.push_back(i);
      weight_.push_back(rows.weights[i]);
      for (int c = 0; c < num_columns_; ++c) mean_.push_back(rows.column(c)[i]);
    }
    active_.resize(row_.size());
    std::iota(active_.begin(), active_.end(), 0);
  }

  int size() const { return static_cast<int>(row_.size()); }
  const std::vector<int>& active() const { return active_; }
  int row(int cluster) const { return row_[cluster]; }

  // Increase of the sum of squares by a merge.
  double Cost(int a, int b) const {
    const double* const x = mean_.data() + static_cast<int64_t>(a) * num_columns_;
    const double* const y = mean_.data() + static_cast<int64_t>(b) * num_columns_;
    double squares = 0;
    for (int c = 0; c < num_columns_; ++c) squares += (x[c] - y[c]) * (x[c] - y[c]);
    squares = std::min(squares, kFarthest);
    // The same bits for (b, a): nearest neighbours must be mutual for the chains to end.
    return squares * ((weight_[a] * weight_[b]) / (weight_[a] + weight_[b]));
  }

  // The nearest other cluster of `a`; ties go to `preferred`, then to the first.
  int Nearest(int a, int preferred, double& cost) const {
    int nearest = -1;
    cost = std::numeric_limits<double>::infinity();
    if (preferred >= 0) {
      nearest = preferred;
      cost = Cost(a, preferred);
    }
    for (const int b : active_) {
      if (b == a) continue;
      const double of_b = Cost(a, b);
      if (of_b < cost) {
        cost = of_b;
        nearest = b;
      }
    }
    return nearest;
  }

  // `a` becomes the union, `b` disappears.
  void Join(int a, int b) {
    const double total = weight_[a] + weight_[b];
    double* const x = mean_.data() + static_cast<int64_t>(a) * num_columns_;
    const double* const y = mean_.data() + static_cast<int64_t>(b) * num_columns_;
    for (int c = 0; c < num_columns_; ++c) x[c] += (y[c] - x[c]) * (weight_[b] / total);
    weight_[a] = total;
    active_.erase(std::lower_bound(active_.begin(), active_.end(), b));
  }

 private:
  const int num_columns_;
  std::vector<int> row_;
  std::vector<double> weight_;
  std::vector<double> mean_;
  std::vector<int> active_;  // ascending
};

}  // namespace

std::vector<int> Agglomerate(const Block& rows, int num_clusters, const std::stop_token& stop) {
  Clusters clusters(rows);
  std::vector<Merge> merges;
  std::vector<int> chain;
  while (clusters.active().size() > 1) {
    if (stop.stop_requested()) return {};
    if (chain.empty()) chain.push_back(clusters.active().front());
    double cost = 0;
    const int before = chain.size() > 1 ? chain[chain.size() - 2] : -1;
    const int nearest = clusters.Nearest(chain.back(), before, cost);
    if (nearest != before) {
      chain.push_back(nearest);
      continue;
    }
    const int a = std::min(chain.back(), before);
    const int b = std::max(chain.back(), before);
    chain.resize(chain.size() - 2);
    merges.push_back({cost, a, b});
    clusters.Join(a, b);
  }
  // Chains find the merges of the hierarchy out of order; the cheapest come first.
  std::stable_sort(merges.begin(), merges.end(),
                   [](const Merge& x, const Merge& y) { return x.cost < y.cost; });
  std::vector<int> parent(clusters.size());
  std::iota(parent.begin(), parent.end(), 0);
  const auto root = [&parent](int i) {
    while (parent[i] != i) i = parent[i] = parent[parent[i]];
    return i;
  };
  for (int m = 0; m < clusters.size() - num_clusters; ++m) {
    const int a = root(merges[m].a);
    const int b = root(merges[m].b);
    parent[std::max(a, b)] = std::min(a, b);
  }
  std::vector<int> labels(rows.num_rows, -1);
  std::vector<int> number(clusters.size(), -1);
  int next = 0;
  for (int i = 0; i < clusters.size(); ++i) {
    int& of_root = number[root(i)];
    if (of_root < 0) of_root = next++;
    labels[clusters.row(i)] = of_root;
  }
  return labels;
}

}  // namespace emserve
