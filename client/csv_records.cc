#include "client/csv_records.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace emserve::client {

absl::StatusOr<bool> RecordReader::Next(std::vector<std::string_view>& fields) {
  fields.clear();
  unquoted_.clear();
  if (rest_.empty()) return false;
  line_ = next_line_;
  if (absl::Status status = ReadRecord(fields); !status.ok()) return status;
  is_blank_ = fields.size() == 1 && !quoted_ && Trim(fields[0]).empty();
  return true;
}

absl::Status RecordReader::ReadRecord(std::vector<std::string_view>& fields) {
  quoted_ = false;
  pending_.clear();
  while (true) {
    const bool is_quoted = !rest_.empty() && rest_.front() == '"';
    if (is_quoted) {
      if (absl::Status status = ReadQuoted(fields); !status.ok()) return status;
    } else {
      const char stops[] = {separator_, '\n'};
      const size_t end = std::min(rest_.find_first_of(std::string_view(stops, 2)), rest_.size());
      fields.push_back(rest_.substr(0, end));
      rest_.remove_prefix(end);
    }
    if (!rest_.empty() && rest_.front() == separator_) {
      rest_.remove_prefix(1);
      continue;
    }
    if (!is_quoted && !fields.back().empty() && fields.back().back() == '\r') {
      fields.back().remove_suffix(1);
    }
    if (!rest_.empty()) rest_.remove_prefix(1);  // the line feed
    ++next_line_;
    break;
  }
  // Only now are the strings at rest.
  for (const auto& [field, text] : pending_) fields[field] = unquoted_[text];
  return absl::OkStatus();
}

absl::Status RecordReader::ReadQuoted(std::vector<std::string_view>& fields) {
  quoted_ = true;
  rest_.remove_prefix(1);
  std::string text;
  while (true) {
    const size_t quote = rest_.find('"');
    if (quote == std::string_view::npos) {
      return absl::InvalidArgumentError("a quoted field is not closed");
    }
    const std::string_view part = rest_.substr(0, quote);
    next_line_ += std::count(part.begin(), part.end(), '\n');
    text += part;
    rest_.remove_prefix(quote + 1);
    if (rest_.empty() || rest_.front() != '"') break;
    text += '"';
    rest_.remove_prefix(1);
  }
  if (rest_.substr(0, 2) == "\r\n" || rest_ == "\r") rest_.remove_prefix(1);
  if (!rest_.empty() && rest_.front() != separator_ && rest_.front() != '\n') {
    return absl::InvalidArgumentError("text follows a closing quote");
  }
  pending_.emplace_back(fields.size(), unquoted_.size());
  unquoted_.push_back(std::move(text));
  fields.emplace_back();
  return absl::OkStatus();
}

std::string_view Trim(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// `text` for an error message: printable, on one line, not too long.
std::string Quoted(std::string_view text) {
  constexpr size_t kLongest = 40;
  std::string shown(text.substr(0, kLongest));
  if (text.size() > kLongest) shown += "...";
  return absl::StrCat("\"", absl::Utf8SafeCHexEscape(shown), "\"");
}

}  // namespace emserve::client
