// Rows cut into sequences, and all paths of a short one: what recursions must agree with.
#ifndef EMSERVE_TESTS_CORE_CHAIN_DATA_H_
#define EMSERVE_TESTS_CORE_CHAIN_DATA_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "core/data/sequences.h"
#include "core/data/table.h"
#include "tests/core/test_data.h"

namespace emserve::testing {

// Easy to change in a test.
struct ChainData {
  Data rows;
  std::vector<int64_t> lengths;  // empty: one sequence of all rows
  std::vector<double> weights;   // of the sequences; empty: all 1

  int64_t num_sequences() const { return static_cast<int64_t>(lengths.size()); }

  // Null without lengths.
  std::shared_ptr<const Sequences> Cut() const {
    if (lengths.empty()) return nullptr;
    Sequences cut = Sequences::FromLengths(lengths, rows.num_rows()).value();
    if (!weights.empty()) cut = cut.Weighted(weights).value();
    return std::make_shared<const Sequences>(std::move(cut));
  }

  Table ToTable(Table::Options options = {}) const {
    auto owned = std::make_shared<const std::vector<double>>(rows.values);
    Cells cells;
    cells.bytes = reinterpret_cast<const std::byte*>(owned->data());
    cells.owner = std::move(owned);
    cells.num_rows = rows.num_rows();
    cells.num_columns = rows.num_columns;
    if (!rows.weights.empty()) {
      options.weights = std::make_shared<const std::vector<double>>(rows.weights);
    }
    options.sequences = Cut();
    return Table::Create(std::move(cells), std::move(options)).value();
  }

  // The sequences of these numbers, in this order.
  ChainData Picked(const std::vector<int64_t>& numbers) const {
    std::vector<int64_t> starts;
    int64_t next = 0;
    for (const int64_t length : lengths) {
      starts.push_back(next);
      next += length;
    }
    ChainData picked;
    picked.rows.num_columns = rows.num_columns;
    const auto append = [](const std::vector<double>& from, int64_t first, int64_t count,
                           std::vector<double>& to) {
      if (!from.empty()) to.insert(to.end(), from.begin() + first, from.begin() + first + count);
    };
    for (const int64_t s : numbers) {
      picked.lengths.push_back(lengths[s]);
      append(rows.values, starts[s] * rows.num_columns, lengths[s] * rows.num_columns,
             picked.rows.values);
      append(rows.weights, starts[s], lengths[s], picked.rows.weights);
      append(weights, s, 1, picked.weights);
    }
    return picked;
  }
};

// Like Blobs, but row i belongs to the state of a chain that stays with probability `stay` and else
// goes anywhere.
inline Data LastingBlobs(int64_t num_rows, int num_columns, int num_states, double spread,
                         double stay, uint64_t seed) {
  Random random(seed, 1);
  std::vector<double> centres(static_cast<size_t>(num_states) * num_columns);
  for (double& centre : centres) centre = spread * random.Normal();
  Data data{.num_columns = num_columns, .values = {}, .weights = {}};
  uint64_t state = 0;
  for (int64_t i = 0; i < num_rows; ++i) {
    if (random.Uniform() >= stay) state = random.Below(num_states);
    for (int c = 0; c < num_columns; ++c) {
      data.values.push_back(centres[state * num_columns + c] + random.Normal());
    }
  }
  return data;
}

// All possible paths of one sequence, one by one: O(K^rows).
class AllPaths {
 public:
  // `density` [rows][K], initial [K], transitions [K, K].
  AllPaths(const std::vector<std::vector<double>>& density, std::span<const double> initial,
           std::span<const double> transitions)
      : num_states(static_cast<int>(initial.size())),
        posterior(density.size(), std::vector<double>(num_states)),
        pairs(transitions.size()) {
    std::vector<int> path(density.size());
    const std::function<void(size_t, double)> extend = [&](size_t t, double weight) {
      if (t == density.size()) {
        total += weight;
        weights.push_back(weight);
        paths.push_back(path);
        for (size_t s = 0; s < t; ++s) {
          posterior[s][path[s]] += weight;
          if (s > 0) pairs[path[s - 1] * num_states + path[s]] += weight;
        }
        return;
      }
      for (int k = 0; k < num_states; ++k) {
        path[t] = k;
        const double step = t == 0 ? initial[k] : transitions[path[t - 1] * num_states + k];
        if (step > 0 && density[t][k] > 0) extend(t + 1, weight * step * density[t][k]);
      }
    };
    extend(0, 1);
    for (std::vector<double>& row : posterior) {
      for (double& p : row) p /= total;
    }
    for (double& p : pairs) p /= total;
  }

  double Best() const { return *std::max_element(weights.begin(), weights.end()); }

  int num_states;
  double total = 0;                            // p(rows)
  std::vector<std::vector<int>> paths;         // [paths][rows]
  std::vector<double> weights;                 // [paths] p(rows, path)
  std::vector<std::vector<double>> posterior;  // [rows][K]
  std::vector<double> pairs;                   // [K, K] expected transitions
};

}  // namespace emserve::testing

#endif  // EMSERVE_TESTS_CORE_CHAIN_DATA_H_
