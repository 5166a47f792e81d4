#include "core/distribution/columns_expectation.h"

#include <algorithm>
#include <cmath>

#include "core/numerics/kernels.h"

namespace emserve {
namespace {

// Calls add(sum) and takes back what it did to rows without their cell.
template <typename Add>
void AddObserved(ColumnsExpectation::Work& work, double* sum, Add add) {
  for (int j = 0; j < work.num_missing; ++j) work.kept()[j] = sum[work.missing[j]];
  add(sum);
  for (int j = 0; j < work.num_missing; ++j) sum[work.missing[j]] = work.kept()[j];
}

}  // namespace

// Column `d` of `block` with its features and, in `work`, its missing cells; if it has any it is
// copied, with a neutral value in their place.
Run ColumnsExpectation::Read(const Block& block, int d, Work& work) const {
  Run run{.column = d, .stride = block.stride, .x = block.column(d)};
  work.num_missing = 0;
  if (!block.complete) {
    for (int i = 0; i < block.num_rows; ++i) {
      if (std::isnan(run.x[i])) work.missing[work.num_missing++] = i;
    }
  }
  if (work.num_missing > 0) {
    const double neutral = univariate_.neutral();
    std::copy_n(run.x, block.stride, work.cells());
    for (int j = 0; j < work.num_missing; ++j) work.cells()[work.missing[j]] = neutral;
    run.x = work.cells();
  }
  run.features = work.features();
  univariate_.Features(run, work.features());
  return run;
}

void ColumnsExpectation::LogDensity(std::span<const double> constants, const Block& block,
                                    Work& work, std::span<double> log_density) const {
  const int stride = block.stride;
  std::fill_n(log_density.data(), static_cast<int64_t>(num_components_) * stride, 0.0);
  std::fill_n(work.base(), stride, 0.0);
  for (int d = 0; d < num_columns_; ++d) {
    const Run run = Read(block, d, work);
    AddObserved(work, work.base(), [&](double* base) { univariate_.AddBase(run, base); });
    for (int k = 0; k < num_components_; ++k) {
      const double* const of_cell = constants.data() + Cell(k, d) * univariate_.num_constants();
      AddObserved(work, log_density.data() + static_cast<int64_t>(k) * stride,
                  [&](double* sum) { univariate_.AddLogDensity(run, of_cell, sum); });
    }
  }
  for (int k = 0; k < num_components_; ++k) {
    double* const of_component = log_density.data() + static_cast<int64_t>(k) * stride;
    const double* const base = work.base();
    for (int i = 0; i < stride; ++i) of_component[i] += base[i];
    // The value 0 of padding may lie outside the support.
    std::fill(of_component + block.num_rows, of_component + stride, 0.0);
  }
}

void ColumnsExpectation::Accumulate(std::span<const double> constants, const Block& block,
                                    std::span<const double> resp, Work& work,
                                    std::span<double> stats) const {
  const int64_t num_cells = static_cast<int64_t>(num_components_) * num_columns_;
  const auto num_sums = univariate_.statistics().size();
  for (int d = 0; d < num_columns_; ++d) {
    const Run run = Read(block, d, work);
    for (int k = 0; k < num_components_; ++k) {
      const double* weights = resp.data() + static_cast<int64_t>(k) * block.stride;
      if (work.num_missing > 0) {
        std::copy_n(weights, block.stride, work.kept());
        for (int j = 0; j < work.num_missing; ++j) work.kept()[work.missing[j]] = 0;
        weights = work.kept();
      }
      const int64_t cell = Cell(k, d);
      CellArray sums{};
      univariate_.AddStatistics(run, constants.data() + cell * univariate_.num_constants(), weights,
                                std::span(sums).first(num_sums));
      stats[cell] += Sum(weights, block.stride);
      for (size_t s = 0; s < num_sums; ++s) stats[(s + 1) * num_cells + cell] += sums[s];
    }
  }
}

}  // namespace emserve
