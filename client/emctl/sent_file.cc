#include "client/emctl/sent_file.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/csv_records.h"
#include "client/emctl/exit_status.h"
#include "client/emctl/field_options.h"

namespace emserve::emctl {
namespace {

constexpr std::string_view kTableRow = "table.rows[";
constexpr std::string_view kInRow = " in row ";
constexpr std::string_view kGot = ": got ";

// Takes the number at `start` of the message, with `before` and `after` around it, out of it.
std::optional<int64_t> TakeRow(size_t start, size_t before, std::string_view after,
                               std::string& message) {
  const size_t end = message.find_first_not_of("0123456789", start);
  int64_t row = 0;
  if (!absl::SimpleAtoi(message.substr(start, end - start), &row)) return std::nullopt;
  const size_t stop = end == std::string::npos ? message.size() : end;
  if (message.compare(stop, after.size(), after) != 0) return std::nullopt;
  message.erase(start - before, stop - start + before + after.size());
  return row;
}

// The name for the number that the message says it got.
void NameCode(const std::vector<std::string>& levels, std::string& message) {
  const size_t got = message.find(kGot);
  if (got == std::string::npos) return;
  const size_t start = got + kGot.size();
  const size_t end = message.find_first_of(" ,", start);
  size_t code = 0;
  if (end == std::string::npos || !absl::SimpleAtoi(message.substr(start, end - start), &code) ||
      code >= levels.size()) {
    return;
  }
  message.replace(start, end - start, client::Quoted(levels[code]));
}

}  // namespace

SentFile::SentFile(const client::DataFile& file) : places(file.places) {
  for (size_t c = 0; c < file.table.levels.size(); ++c) {
    if (!file.table.levels[c].empty()) levels[file.table.columns[c]] = file.table.levels[c];
  }
}

const std::vector<std::string>& SentFile::LevelsOf(const std::string& column) const {
  static const auto& none = *new std::vector<std::string>();
  const auto found = levels.find(column);
  return found == levels.end() ? none : found->second;
}

absl::Status InFile(const absl::Status& status, const SentFile& file) {
  if (status.ok() || file.places.source.empty()) return status;
  std::string message(status.message());
  if (message.starts_with(kTableRow)) {
    const std::optional<int64_t> row = TakeRow(kTableRow.size(), kTableRow.size(), "]: ", message);
    if (!row.has_value()) return status;
    return Worded(status, absl::StrCat(file.places.Of(*row), ": ", message));
  }
  const size_t found = message.find(kInRow);
  if (found == std::string::npos) return status;
  const std::optional<int64_t> row = TakeRow(found + kInRow.size(), kInRow.size(), "", message);
  if (!row.has_value()) return status;
  const std::string field = FieldOf(message);
  if (absl::EndsWith(field, ".label_column")) NameCode(file.LevelsOf(file.label_column), message);
  if (absl::EndsWith(field, ".sequences.column")) {
    NameCode(file.LevelsOf(file.sequence_column), message);
  }
  // The file is the dataset.
  message =
      absl::EndsWith(field, ".dataset") ? message.substr(field.size() + 2) : InOptions(message);
  return Worded(status, absl::StrCat(file.places.Of(*row), ": ", message));
}

}  // namespace emserve::emctl
