#include "core/numerics/ranked_paths.h"

#include <algorithm>
#include <cstdint>
#include <limits>

#include "core/numerics/cancellation.h"

namespace emserve {
namespace {

// The end of a partial path: its density, and where the one before it ends.
struct End {
  double score = -std::numeric_limits<double>::infinity();
  int before = -1;  // hidden then
  int rank = 0;     // among the ends there
};

bool IsBetter(const End& a, const End& b) { return a.score > b.score; }

}  // namespace

std::optional<std::vector<RankedPath>> BestPaths(const MarkovChain& log_chain,
                                                 const ChainRows& rows,
                                                 const double* log_likelihood, int count,
                                                 const std::function<bool()>& cancelled) {
  Cancellation cancellation(cancelled);
  const int size = log_chain.num_hidden();
  const int num_rows = rows.num_rows;
  const auto at = [&](int t, int h) {
    return (static_cast<size_t>(t) * size + h) * static_cast<size_t>(count);
  };
  std::vector<End> ends(at(num_rows, 0));
  std::vector<End> candidates;
  for (int t = 0; t < num_rows; ++t) {
    for (int h = 0; h < size; ++h) {
      const int state = h / log_chain.max_duration;
      const double of_row = log_likelihood[static_cast<int64_t>(t) * log_chain.num_states + state];
      End* const mine = ends.data() + at(t, h);
      if (t == 0) {
        mine[0].score = log_chain.initial[state] + of_row +
                        (log_chain.duration == nullptr ? 0 : log_chain.duration[h]);
        continue;
      }
      candidates.clear();
      for (int from = 0; from < size; ++from) {
        const double step = LogTransition(log_chain, from, h);
        const End* const theirs = ends.data() + at(t - 1, from);
        for (int rank = 0; rank < count; ++rank) {
          const double score = theirs[rank].score + step + of_row;
          if (!(score > -std::numeric_limits<double>::infinity())) break;
          candidates.push_back({score, from, rank});
        }
      }
      const auto kept = std::min(candidates.size(), static_cast<size_t>(count));
      std::partial_sort(candidates.begin(), candidates.begin() + static_cast<int64_t>(kept),
                        candidates.end(), IsBetter);
      std::copy_n(candidates.begin(), kept, mine);
      if (cancellation.After(int64_t{size} + static_cast<int64_t>(candidates.size()))) {
        return std::nullopt;
      }
    }
  }

  std::vector<End> last;
  for (int h = 0; h < size && num_rows > 0; ++h) {
    const End* const theirs = ends.data() + at(num_rows - 1, h);
    for (int rank = 0; rank < count; ++rank) {
      if (!(theirs[rank].score > -std::numeric_limits<double>::infinity())) break;
      last.push_back({theirs[rank].score, h, rank});
    }
  }
  std::stable_sort(last.begin(), last.end(), IsBetter);
  last.resize(std::min(last.size(), static_cast<size_t>(count)));
  std::vector<RankedPath> paths;
  for (const End& end : last) {
    RankedPath path{end.score, std::vector<int>(num_rows)};
    int hidden = end.before;
    int rank = end.rank;
    for (int t = num_rows - 1; t >= 0; --t) {
      path.hidden[t] = hidden;
      const End& here = ends[at(t, hidden) + rank];
      hidden = here.before;
      rank = here.rank;
    }
    paths.push_back(std::move(path));
  }
  return paths;
}

}  // namespace emserve
