// What a person sees while something takes long: one line that is redrawn on a terminal, plain
// lines that are thinned out elsewhere. All of it goes to the standard error.
#ifndef EMSERVE_CLIENT_EMCTL_PROGRESS_H_
#define EMSERVE_CLIENT_EMCTL_PROGRESS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <tuple>

#include "absl/time/time.h"
#include "emserve/v1/job.pb.h"

namespace emserve::emctl {

// The standard error as a place for lines. Not thread-safe.
class StatusLine {
 public:
  // `quiet` drops everything but errors, which do not come through here.
  explicit StatusLine(bool quiet);
  // Clears the line.
  ~StatusLine();
  StatusLine(const StatusLine&) = delete;
  StatusLine& operator=(const StatusLine&) = delete;

  bool is_terminal() const { return is_terminal_; }
  // Replaces the redrawn line, cut to the width of the terminal; at most some 20 times a second
  // unless `always`. Nothing where there is no terminal.
  void Draw(std::string_view text, bool always = false);
  void Clear();
  // A line that stays.
  void Print(std::string_view text);

 private:
  const bool quiet_;
  const bool is_terminal_;
  bool drawn_ = false;
  absl::Time last_ = absl::InfinitePast();
};

// A bar with share, amount and speed, e.g. of an upload. `total` > 0.
std::string ProgressBar(std::string_view what, int64_t done, int64_t total, absl::Duration elapsed,
                        int width);

// Draws a bar on a terminal: for the progress callbacks of the client.
std::function<void(int64_t done, int64_t total)> DrawBar(StatusLine& line, std::string what);

// The iterations of a fit or sweep, as lines. Of each part of a restart it remembers the last
// iteration, because the rate at which EM converges is the quotient of changes that follow each
// other.
class IterationLines {
 public:
  // The line of an iteration: candidate of a sweep, restart, the phase if it is not the climb,
  // iteration, objective, change, rate.
  std::string Format(const v1::IterationEvent& event);

  // True for the iterations that are worth a line of their own where nothing is redrawn: the 1-2-5
  // steps of the first restart, those that improve on the best objective so far, and one in
  // each second of `now`.
  bool IsWorthALine(const v1::IterationEvent& event, absl::Time now);

 private:
  struct Last {
    int64_t iteration = -1;
    double change = 0;
  };
  std::map<std::tuple<int32_t, int32_t, int>, Last> restarts_;  // by candidate, restart, phase
  bool any_ = false;
  double best_ = 0;
  absl::Time printed_ = absl::InfinitePast();
};

}  // namespace emserve::emctl

#endif  // EMSERVE_CLIENT_EMCTL_PROGRESS_H_
