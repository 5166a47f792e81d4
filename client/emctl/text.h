// Text for people: tables, numbers and times.
#ifndef EMSERVE_CLIENT_EMCTL_TEXT_H_
#define EMSERVE_CLIENT_EMCTL_TEXT_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "google/protobuf/timestamp.pb.h"

namespace emserve::emctl {

// Rows of cells in columns that line up; two blanks between them.
class TextTable {
 public:
  // One letter per column: 'l' or 'r', where it lines up.
  explicit TextTable(std::string alignment) : alignment_(std::move(alignment)) {}

  // Missing cells at the end of a row are empty.
  void Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  bool empty() const { return rows_.empty(); }
  // One line per row, without blanks at their ends.
  std::string ToString() const;

 private:
  const std::string alignment_;
  std::vector<std::vector<std::string>> rows_;
};

// Columns a terminal needs for UTF-8 text.
size_t DisplayWidth(std::string_view text);

// The text with control characters replaced, so that a name from elsewhere cannot drive the
// terminal.
std::string Printable(std::string_view text);

// Six significant digits, as %g.
std::string Short(double value);
// Fixed point with six digits after it, for log-likelihoods.
std::string Fixed(double value);
// "2.5 MiB".
std::string FormatBytes(int64_t bytes);
// "2026-01-31 13:05:00Z", UTC; empty for no time.
std::string FormatTime(const google::protobuf::Timestamp& time);

}  // namespace emserve::emctl

#endif  // EMSERVE_CLIENT_EMCTL_TEXT_H_
