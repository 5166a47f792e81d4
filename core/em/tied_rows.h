// Probability vectors with elements that are tied across them: transitions that are as likely from
// one state as from another.
//
// Apart from simplex_rows.h: here are no arrays, only groups of tied elements and what they share.
#ifndef EMSERVE_CORE_EM_TIED_ROWS_H_
#define EMSERVE_CORE_EM_TIED_ROWS_H_

#include <cstdint>
#include <optional>
#include <span>
#include <stop_token>
#include <vector>

#include "absl/status/status.h"

namespace emserve {

// Values v_g >= 0 of G groups whose elements fill R rows: sum_g times_rg v_g = masses_r. Immutable.
class TiedRows {
 public:
  // So many elements of a group lie in a row.
  struct Member {
    int row;
    int64_t times;
  };

  // `groups` [G]: of each its members, at least one, their rows ascending. nullopt where no values
  // above 0 fill all rows. Rows that follow from others may be off by `tolerance`. Precondition:
  // masses > 0. O(R^3 + G) times the steps of a search.
  static std::optional<TiedRows> Make(std::vector<std::vector<Member>> groups,
                                      const std::vector<double>& masses, double tolerance);

  // Groups in the rows that are active less the rank of those rows' sums.
  int64_t num_free(const std::vector<bool>& active) const;

  // [G] those of the largest product of all elements.
  std::span<const double> even() const { return even_; }

  // next = argmax sum_g counts_g log v_g, [G]. Of several, one near `now`; `now` itself if it fills
  // the rows and there is no gain in counts, or no count at all. Counts below 0 are 0.
  //
  // By the multipliers s_g = sum_r times_rg lambda_r of the rows the maximum is v_g s_g = counts_g:
  // Newton steps on both from even values, for targets that approach the counts, as interior-point
  // methods take them (Wright 1997, "Primal-dual interior-point methods", chapter 5). A group
  // without counts has a vanishing one. O(R^3 + G) times up to 200 steps.
  // Cancelled soon after `stop` is requested.
  absl::Status Maximize(std::span<const double> counts, std::span<const double> now,
                        std::span<double> next, const std::stop_token& stop) const;

 private:
  TiedRows() = default;

  struct Search;

  std::vector<std::vector<Member>> groups_;       // of all rows
  std::vector<std::vector<Member>> independent_;  // of the rows that no others fill
  std::vector<double> masses_;                    // of those
  std::vector<double> most_;                      // [G] what a value can be at most
  std::vector<double> even_;                      // [G]
  std::vector<double> slopes_;                    // [G] s at the even values, for counts of sum 1
};

}  // namespace emserve

#endif  // EMSERVE_CORE_EM_TIED_ROWS_H_
