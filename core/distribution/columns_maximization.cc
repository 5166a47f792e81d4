#include "core/distribution/columns_maximization.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <utility>

#include "core/numerics/line_search.h"

namespace emserve {
namespace {

// Rounds of coordinate ascent in one maximisation. It need not converge: any rise of the
// expectation is one of the objective, and the next iteration goes on.
constexpr int kMaxRounds = 50;
constexpr double kRoundGain =
    1e-13;  // relative to the expectation; below it a round gained nothing

// The coordinates of a range, infinite where the domain has no end.
Range LineOf(Domain domain, Range range) {
  const double lowest = domain == Domain::kReal ? range.low : std::max(range.low, 0.0);
  const double highest = domain == Domain::kUnit ? std::min(range.high, 1.0) : range.high;
  return {ToCoordinate(domain, lowest), ToCoordinate(domain, highest)};
}

// A finite coordinate that is as good as the boundary, from which nothing could be seen.
constexpr double kBoundary = 600;

int64_t Root(std::vector<int64_t>& parent, int64_t i) {
  while (parent[i] != i) i = parent[i] = parent[parent[i]];
  return i;
}

}  // namespace

// The arrays of one maximisation by cell.
class ColumnsMaximization::Work {
 public:
  Work(const ColumnsMaximization& maximization, std::span<const double> params,
       std::span<const double> stats, double empty)
      : m_(maximization), params_(params), stats_(stats), empty_(empty) {}

  bool IsEmpty(int64_t cell) const { return !(stats_[cell] > empty_); }
  void AddSums(int64_t cell, std::span<double> sums) const {
    for (int s = 0; s < m_.num_sums_; ++s) sums[s] += stats_[s * m_.num_cells_ + cell];
  }
  void CopyOld(int64_t cell, std::span<double> old) const {
    for (int p = 0; p < m_.num_parameters_; ++p) old[p] = params_[m_.Element(p, cell)];
  }
  void CopyRanges(int64_t cell, std::span<Range> ranges) const {
    for (int p = 0; p < m_.num_parameters_; ++p) ranges[p] = m_.RangeOf(m_.Element(p, cell));
  }
  bool SameOld(std::span<const int64_t> cells) const {
    for (int p = 0; p < m_.num_parameters_; ++p) {
      for (const int64_t cell : cells) {
        if (params_[m_.Element(p, cell)] != params_[m_.Element(p, cells[0])]) return false;
      }
    }
    return true;
  }

 private:
  const ColumnsMaximization& m_;
  const std::span<const double> params_;
  const std::span<const double> stats_;
  const double empty_;
};

ColumnsMaximization::ColumnsMaximization(const Univariate& univariate, int num_components,
                                         int num_columns, Constraints constraints)
    : univariate_(univariate),
      num_columns_(num_columns),
      num_parameters_(static_cast<int>(univariate.parameters().size())),
      num_sums_(static_cast<int>(univariate.statistics().size()) + 1),
      num_cells_(static_cast<int64_t>(num_components) * num_columns),
      constraints_(std::move(constraints)) {
  for (int p = 0; p < num_parameters_; ++p) {
    for (int d = 0; d < num_columns_; ++d) limits_.push_back(univariate.Limits(p, d));
  }
  if (constraints_.empty()) return;
  ranges_.resize(num_parameters_ * num_cells_);
  std::vector<int64_t> parent(num_cells_);
  std::iota(parent.begin(), parent.end(), int64_t{0});
  for (int64_t e = 0; e < std::ssize(ranges_); ++e) {
    const Range limit = limits_[e / num_cells_ * num_columns_ + e % num_columns_];
    const int64_t leader = constraints_.Leader(e);
    Range& range = ranges_[leader];
    range = {std::max(range.low, limit.low), std::min(range.high, limit.high)};
    parent[Root(parent, e % num_cells_)] = Root(parent, leader % num_cells_);
  }
  std::vector<std::vector<int64_t>> by_root(num_cells_);
  for (int64_t c = 0; c < num_cells_; ++c) by_root[Root(parent, c)].push_back(c);
  for (std::vector<int64_t>& cells : by_root) {
    if (cells.empty()) continue;
    Set set{.cells = std::move(cells), .pooled = false, .groups = {}};
    set.pooled = SharesAll(set.cells);
    if (set.cells.size() > 1) set.groups = GroupsOf(set.cells);
    sets_.push_back(std::move(set));
  }
}

Range ColumnsMaximization::RangeOf(int64_t element) const {
  if (!constraints_.empty()) return ranges_[constraints_.Leader(element)];
  return limits_[element / num_cells_ * num_columns_ + element % num_columns_];
}

bool ColumnsMaximization::SharesAll(const std::vector<int64_t>& cells) const {
  for (int p = 0; p < num_parameters_; ++p) {
    const int64_t first = Element(p, cells[0]);
    for (const int64_t cell : cells) {
      const int64_t e = Element(p, cell);
      const bool same =
          constraints_.IsFixed(first)
              ? constraints_.IsFixed(e) && constraints_.value(e) == constraints_.value(first)
              : constraints_.Leader(e) == constraints_.Leader(first);
      if (!same) return false;
    }
  }
  return true;
}

std::vector<ColumnsMaximization::Group> ColumnsMaximization::GroupsOf(
    const std::vector<int64_t>& cells) const {
  std::vector<Group> groups;
  for (int p = 0; p < num_parameters_; ++p) {
    std::vector<std::pair<int64_t, size_t>> by_leader;
    for (size_t i = 0; i < cells.size(); ++i) {
      const int64_t e = Element(p, cells[i]);
      if (!constraints_.IsFixed(e)) by_leader.emplace_back(constraints_.Leader(e), i);
    }
    std::sort(by_leader.begin(), by_leader.end());
    for (size_t i = 0; i < by_leader.size(); ++i) {
      if (i == 0 || by_leader[i].first != by_leader[i - 1].first) {
        groups.push_back({.parameter = p, .members = {}});
      }
      groups.back().members.push_back(by_leader[i].second);
    }
  }
  return groups;
}

absl::Status ColumnsMaximization::Maximize(std::span<const double> params,
                                           std::span<const double> stats, double empty,
                                           std::span<double> next,
                                           const std::stop_token& stop) const {
  std::copy(params.begin(), params.end(), next.begin());
  constraints_.Apply(next);
  const Work work(*this, params, stats, empty);
  if (constraints_.empty()) {
    for (int64_t c = 0; c < num_cells_; ++c) {
      if (c % num_columns_ == 0 && stop.stop_requested()) break;
      MaximizePool({&c, 1}, work, next);
    }
  }
  for (const Set& set : sets_) {
    if (stop.stop_requested()) break;
    if (set.pooled && (num_parameters_ == 1 || work.SameOld(set.cells))) {
      MaximizePool(set.cells, work, next);
    } else {
      Ascend(set, work, next, stop);
    }
  }
  if (stop.stop_requested()) return absl::CancelledError("stop was requested");
  return absl::OkStatus();
}

// Cells with the same old parameters that have the same new ones: their statistics add up.
void ColumnsMaximization::MaximizePool(std::span<const int64_t> cells, const Work& work,
                                       std::span<double> next) const {
  std::array<double, kMaxUnivariateSums> all_sums{};
  std::array<double, kMaxUnivariateParameters> all_old, all_params;
  std::array<Range, kMaxUnivariateParameters> all_ranges;
  const auto sums = std::span(all_sums).first(num_sums_);
  const auto old = std::span(all_old).first(num_parameters_);
  const auto params = std::span(all_params).first(num_parameters_);
  const auto ranges = std::span(all_ranges).first(num_parameters_);
  int num_observed = 0;
  for (const int64_t cell : cells) {
    if (work.IsEmpty(cell)) continue;
    ++num_observed;
    work.AddSums(cell, sums);
  }
  if (num_observed == 0) return;
  work.CopyOld(cells[0], old);
  work.CopyRanges(cells[0], ranges);
  const CellStatistics cell{
      .num_cells = static_cast<double>(cells.size()), .old = old, .sums = sums, .ranges = ranges};
  int num_fixed = 0;
  for (int p = 0; p < num_parameters_; ++p) {
    params[p] = next[Element(p, cells[0])];
    num_fixed += constraints_.IsFixed(Element(p, cells[0]));
  }
  if (num_fixed == 0) {
    univariate_.Maximize(cell, params);
  } else {
    for (int p = 0; p < num_parameters_; ++p) {
      if (!constraints_.IsFixed(Element(p, cells[0]))) univariate_.MaximizeOne(cell, p, params);
    }
  }
  for (const int64_t c : cells) {
    for (int p = 0; p < num_parameters_; ++p) next[Element(p, c)] = params[p];
  }
}

// Coordinate ascent over the free parameters of cells that ties connect. While a shared parameter
// is searched for, what a cell has for itself follows in closed form, so that strongly dependent
// parameters (shape and rate) do not hold each other back. Empty cells keep what is their own, but
// where they share a parameter with others their prior counts.
void ColumnsMaximization::Ascend(const Set& set, const Work& work, std::span<double> next,
                                 const std::stop_token& stop) const {
  struct Cell {
    bool empty = false;
    std::vector<double> sums, old, params, trial;
    std::vector<Range> ranges;
    std::vector<int> own;  // free parameters that are not tied
    CellStatistics statistics;
  };
  std::vector<Cell> cells;
  cells.reserve(set.cells.size());
  for (const int64_t c : set.cells) {
    Cell& cell = cells.emplace_back();
    cell.empty = work.IsEmpty(c);
    cell.sums.resize(num_sums_);
    cell.old.resize(num_parameters_);
    cell.params.resize(num_parameters_);
    cell.ranges.resize(num_parameters_);
    if (!cell.empty) work.AddSums(c, cell.sums);
    work.CopyOld(c, cell.old);
    work.CopyRanges(c, cell.ranges);
    for (int p = 0; p < num_parameters_; ++p) {
      const int64_t e = Element(p, c);
      cell.params[p] = next[e];
      if (!cell.empty && !constraints_.Restricts(e)) cell.own.push_back(p);
    }
    cell.trial = cell.params;
    cell.statistics = {.num_cells = 1, .old = cell.old, .sums = cell.sums, .ranges = cell.ranges};
  }

  const auto expected_of = [this](const Cell& cell, std::span<const double> params) {
    const double of_prior = univariate_.LogPrior(params);
    return cell.empty ? of_prior : univariate_.Expected(cell.statistics, params) + of_prior;
  };
  // The first member of a group that has observations; the group stays where none has.
  const auto first_observed = [&cells](const Group& group) {
    return std::find_if(group.members.begin(), group.members.end(),
                        [&cells](size_t i) { return !cells[i].empty; });
  };
  const auto total = [&] {
    double sum = 0;
    for (const Cell& cell : cells) sum += expected_of(cell, cell.params);
    return sum;
  };
  double before = total();
  for (int round = 0; round < kMaxRounds; ++round) {
    for (const Group& group : set.groups) {
      if (stop.stop_requested()) return;
      const int p = group.parameter;
      const auto first = first_observed(group);
      if (first == group.members.end()) continue;
      const auto try_value = [&](Cell& cell, double value) {
        cell.trial = cell.params;
        cell.trial[p] = value;
        for (const int q : cell.own) {
          if (q != p) univariate_.MaximizeOne(cell.statistics, q, cell.trial);
        }
      };
      if (group.members.size() == 1) {
        Cell& cell = cells[*first];
        univariate_.MaximizeOne(cell.statistics, p, cell.params);
        continue;
      }
      const Domain domain = univariate_.parameters()[p].domain;
      const Range range = RangeOf(Element(p, set.cells[*first]));
      const Range line = LineOf(domain, range);
      const auto value_at = [&](double coordinate) {
        if (coordinate >= line.high && std::isfinite(range.high)) return range.high;
        if (coordinate <= line.low && std::isfinite(range.low)) return range.low;
        return FromCoordinate(domain, coordinate);
      };
      const auto expected = [&](double coordinate) {
        double sum = 0;
        if (stop.stop_requested()) return sum;
        for (const size_t i : group.members) {
          try_value(cells[i], value_at(coordinate));
          sum += expected_of(cells[i], cells[i].trial);
        }
        return sum;
      };
      double start = ToCoordinate(domain, cells[*first].params[p]);
      if (std::isinf(start)) start = std::copysign(kBoundary, start);
      const double value = value_at(MaximizeOnLine(expected, start, line.low, line.high));
      for (const size_t i : group.members) {
        try_value(cells[i], value);
        cells[i].params = cells[i].trial;
      }
    }
    const double after = total();
    if (!(after - before > kRoundGain * (1 + std::abs(after)))) break;
    before = after;
  }
  for (const Group& group : set.groups) {
    // A tie holds in cells without observations too.
    const auto first = first_observed(group);
    if (first == group.members.end()) continue;
    const double value = cells[*first].params[group.parameter];
    for (const size_t i : group.members) next[Element(group.parameter, set.cells[i])] = value;
  }
}

}  // namespace emserve
