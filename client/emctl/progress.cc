#include "client/emctl/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "client/emctl/text.h"
#include "client/emctl/words.h"

namespace emserve::emctl {
namespace {

constexpr absl::Duration kRedraw = absl::Milliseconds(50);
constexpr absl::Duration kPrint = absl::Seconds(1);

int TerminalWidth() {
  winsize size;
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

// 0, 1, 2, 5, 10, 20, 50, 100, ...
bool IsRound(int64_t iteration) {
  while (iteration >= 10 && iteration % 10 == 0) iteration /= 10;
  return iteration == 0 || iteration == 1 || iteration == 2 || iteration == 5;
}

}  // namespace

StatusLine::StatusLine(bool quiet)
    : quiet_(quiet), is_terminal_(!quiet && isatty(STDERR_FILENO) != 0) {}

StatusLine::~StatusLine() { Clear(); }

void StatusLine::Draw(std::string_view text, bool always) {
  if (!is_terminal_) return;
  const absl::Time now = absl::Now();
  if (!always && now - last_ < kRedraw) return;
  last_ = now;
  std::string line = Printable(text);
  // The last column stays free: a terminal may wrap there.
  const size_t room = static_cast<size_t>(std::max(1, TerminalWidth() - 1));
  while (DisplayWidth(line) > room) line.pop_back();
  std::fprintf(stderr, "\r\x1b[K%s", line.c_str());
  std::fflush(stderr);
  drawn_ = true;
}

void StatusLine::Clear() {
  if (!drawn_) return;
  std::fputs("\r\x1b[K", stderr);
  std::fflush(stderr);
  drawn_ = false;
}

void StatusLine::Print(std::string_view text) {
  if (quiet_) return;
  Clear();
  std::fprintf(stderr, "%s\n", Printable(text).c_str());
}

std::string ProgressBar(std::string_view what, int64_t done, int64_t total, absl::Duration elapsed,
                        int width) {
  const double share = std::clamp(
      static_cast<double>(done) / static_cast<double>(std::max<int64_t>(1, total)), 0.0, 1.0);
  const double seconds = absl::ToDoubleSeconds(elapsed);
  const std::string speed =
      seconds > 0
          ? absl::StrCat(
                "  ", FormatBytes(static_cast<int64_t>(static_cast<double>(done) / seconds)), "/s")
          : "";
  const int filled = static_cast<int>(share * width);
  return absl::StrFormat("%s [%s%s] %3d%%  %s of %s%s", std::string(what), std::string(filled, '='),
                         std::string(width - filled, ' '), static_cast<int>(share * 100),
                         FormatBytes(done), FormatBytes(total), speed);
}

std::function<void(int64_t done, int64_t total)> DrawBar(StatusLine& line, std::string what) {
  if (!line.is_terminal()) return nullptr;
  return [&line, what = std::move(what), start = absl::Now()](int64_t done, int64_t total) {
    constexpr int kWidth = 20;
    line.Draw(ProgressBar(what, done, total, absl::Now() - start, kWidth), done == total);
  };
}

std::string IterationLines::Format(const v1::IterationEvent& event) {
  std::string line;
  if (event.has_candidate()) line = absl::StrCat("candidate ", event.candidate(), "  ");
  absl::StrAppend(&line, "restart ", event.restart());
  const bool is_climb = event.phase() == v1::PHASE_UNSPECIFIED || event.phase() == v1::PHASE_CLIMB;
  if (!is_climb) {
    absl::StrAppend(
        &line, "  ",
        absl::StrReplaceAll(EnumWord(*v1::Phase_descriptor(), event.phase()), {{"_", " "}}));
  }
  absl::StrAppendFormat(&line, "  iteration %4d  objective %.10g", event.iteration(),
                        event.objective());
  Last& last = restarts_[{event.candidate(), event.restart(), is_climb ? 0 : event.phase()}];
  if (event.iteration() == 0) last = {};  // short runs follow each other
  if (event.has_change()) {
    absl::StrAppendFormat(&line, "  change %.3g", event.change());
    // Events can be thinned out: over m iterations the rate is the m-th root of the quotient.
    const double quotient = event.change() / last.change;
    const int64_t steps = event.iteration() - last.iteration;
    if (last.iteration > 0 && steps > 0 && quotient > 0 && std::isfinite(quotient)) {
      absl::StrAppendFormat(&line, "  rate %.3f",
                            std::pow(quotient, 1.0 / static_cast<double>(steps)));
    }
  }
  last.iteration = event.iteration();
  last.change = event.has_change() ? event.change() : 0;
  return line;
}

bool IterationLines::IsWorthALine(const v1::IterationEvent& event, absl::Time now) {
  const bool is_first = event.restart() == 0 && IsRound(event.iteration());
  const bool is_better = any_ && event.objective() > best_ + 1e-6 * std::abs(best_);
  const bool worth =
      is_first || (is_better && IsRound(event.iteration())) || now - printed_ >= kPrint;
  if (!any_ || event.objective() > best_) best_ = event.objective();
  any_ = true;
  if (worth) printed_ = now;
  return worth;
}

}  // namespace emserve::emctl
