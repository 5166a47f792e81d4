#include "client/csv.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/number.h"
#include "client/utf8.h"

namespace emserve::client {
namespace {

// Cuts text into records. Unquoted fields are views of the text; quoted ones live in `unquoted_`.
class RecordReader {
 public:
  RecordReader(std::string_view text, char separator) : rest_(text), separator_(separator) {}

  // Reads the next record that is not blank into `fields`, valid until the next call. False at the
  // end of the text; a quote that is not closed is an error.
  absl::StatusOr<bool> Next(std::vector<std::string_view>& fields) {
    while (!rest_.empty()) {
      line_ = next_line_;
      fields.clear();
      unquoted_.clear();
      if (absl::Status status = ReadRecord(fields); !status.ok()) return status;
      const bool blank = fields.size() == 1 && !quoted_ &&
                         fields[0].find_first_not_of(" \t") == std::string_view::npos;
      if (!blank) return true;
    }
    return false;
  }

  // Line, from 1, where the last record began.
  int64_t line() const { return line_; }

 private:
  absl::Status ReadRecord(std::vector<std::string_view>& fields) {
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

  absl::Status ReadQuoted(std::vector<std::string_view>& fields) {
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

  std::string_view rest_;
  const char separator_;
  int64_t line_ = 1;
  int64_t next_line_ = 1;
  bool quoted_ = false;
  std::vector<std::string> unquoted_;
  std::vector<std::pair<size_t, size_t>> pending_;
};

std::string_view Trim(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

bool IsMissing(std::string_view field) {
  const std::string_view text = Trim(field);
  if (text.empty()) return true;
  if (text.size() > 3) return false;
  const absl::string_view word(text.data(), text.size());
  return absl::EqualsIgnoreCase(word, "NA") || absl::EqualsIgnoreCase(word, "NaN");
}

// `text` for an error message: printable, on one line, not too long.
std::string Quoted(std::string_view text) {
  constexpr size_t kLongest = 40;
  std::string shown(text.substr(0, kLongest));
  if (text.size() > kLongest) shown += "...";
  return absl::StrCat("\"", absl::Utf8SafeCHexEscape(shown), "\"");
}

// True if the fields of a first record are numbers, or missing ones among numbers.
bool LooksLikeData(const std::vector<std::string_view>& fields) {
  bool any = false;
  for (const std::string_view field : fields) {
    const bool is_number = ParseNumber(field).has_value();
    if (!is_number && (Trim(field).empty() || !IsMissing(field))) return false;
    any = any || is_number;
  }
  return any;
}

std::string NotFinite(const std::string& column, double cell) {
  return absl::StrCat("column ", Quoted(column), ": ",
                      std::isnan(cell)
                          ? "is missing; leave the row out"
                          : absl::StrCat("got ", FormatNumber(cell), ", must be finite"));
}

// One pass over the records, and what it knows of each column.
class TableReader {
 public:
  TableReader(const std::string& source, const CsvOptions& options)
      : source_(source), options_(options) {}

  absl::StatusOr<CsvTable> Read(std::string_view text) {
    if (text.substr(0, 3) == "\xEF\xBB\xBF") text.remove_prefix(3);
    if (text.substr(0, 2) == "\xFF\xFE" || text.substr(0, 2) == "\xFE\xFF") {
      return At(1, absl::InvalidArgumentError(
                       "the file is UTF-16; convert it (iconv -f utf-16 -t utf-8)"));
    }
    RecordReader records(text, options_.separator);
    std::vector<std::string_view> fields;
    absl::StatusOr<bool> more = records.Next(fields);
    if (!more.ok()) return At(records.line(), more.status());
    if (!*more) {
      return absl::InvalidArgumentError(
          absl::StrCat(source_, ": got an empty file, must have a header and at least one row"));
    }
    absl::Status status = ChooseColumns(records.line(), fields);
    if (status.ok() && !has_header()) status = AddRow(records.line(), fields);
    while (status.ok()) {
      more = records.Next(fields);
      if (!more.ok()) return At(records.line(), more.status());
      if (!*more) break;
      status = AddRow(records.line(), fields);
    }
    if (!status.ok()) return status;
    return Finish();
  }

 private:
  enum class Kind { kUnknown, kNumber, kText };

  struct Hole {        // a cell that is not finite
    int64_t line = 0;  // 0: none
    double cell = 0;
  };

  bool has_header() const { return options_.header.value_or(true); }

  absl::Status At(int64_t line, const absl::Status& status) const {
    return absl::InvalidArgumentError(absl::StrCat(source_, ":", line, ": ", status.message()));
  }

  // What to try if the first line is one field only because another separator stands in it.
  std::string SeparatorHint() const {
    std::string hint;
    int64_t most = 0;
    for (const char other : {',', ';', '\t', '|'}) {
      const int64_t count = std::count(only_field_.begin(), only_field_.end(), other);
      if (count <= most || other == options_.separator) continue;
      most = count;
      const std::string word =
          other == '\t' ? "tab" : absl::StrCat("'", std::string(1, other), "'");
      hint = absl::StrCat("; its first line looks separated by ", word, ": say --separator ", word);
    }
    return hint;
  }

  absl::Status ChooseColumns(int64_t line, const std::vector<std::string_view>& fields) {
    num_fields_ = fields.size();
    if (num_fields_ == 1) only_field_ = std::string(fields[0]);
    std::vector<std::string> names;
    for (size_t f = 0; f < fields.size(); ++f) {
      names.push_back(has_header() ? std::string(Trim(fields[f])) : absl::StrCat("c", f));
    }
    // Who asks for columns by these very names knows that they are names.
    const bool has_chosen =
        !options_.columns.empty() &&
        std::all_of(options_.columns.begin(), options_.columns.end(),
                    [&names](const std::string& name) {
                      return std::find(names.begin(), names.end(), name) != names.end();
                    });
    if (!options_.header.has_value() && !has_chosen && LooksLikeData(fields)) {
      return At(line, absl::InvalidArgumentError(
                          "the first line holds only numbers; say --no-header if it is a row of "
                          "data, --header if it names the columns"));
    }
    absl::flat_hash_set<std::string> seen;
    for (const std::string& name : names) {
      if (!IsUtf8(name)) {
        return At(line, absl::InvalidArgumentError("the header is not UTF-8; convert the file "
                                                   "(iconv -f latin1 -t utf-8)"));
      }
      if (!name.empty() && !seen.insert(name).second) {
        return At(line, absl::InvalidArgumentError(
                            absl::StrCat("got column ", Quoted(name), " twice, must be unique")));
      }
    }
    if (!options_.columns.empty()) {
      seen.clear();
      for (const std::string& name : options_.columns) {
        const auto found = std::find(names.begin(), names.end(), name);
        if (found == names.end() || name.empty()) {
          return absl::InvalidArgumentError(
              absl::StrCat(source_, ": has no column ", Quoted(name), "; it has ",
                           absl::StrJoin(names.begin(),
                                         names.begin() + std::min<size_t>(20, names.size()), ", "),
                           names.size() > 20 ? ", ..." : "", SeparatorHint()));
        }
        if (!seen.insert(name).second) {
          return absl::InvalidArgumentError(
              absl::StrCat("columns: got ", Quoted(name), " twice, must be unique"));
        }
        chosen_.push_back(static_cast<size_t>(found - names.begin()));
      }
    } else {
      for (size_t f = 0; f < names.size(); ++f) {
        if (names[f].empty()) {
          result_.notes.push_back(
              absl::StrCat(source_, ": left out column ", f + 1, ", which has no name"));
        } else {
          chosen_.push_back(f);
        }
      }
    }
    for (const size_t f : chosen_) result_.table.columns.push_back(names[f]);
    kinds_.assign(chosen_.size(), options_.columns.empty() ? Kind::kUnknown : Kind::kNumber);
    first_holes_.resize(chosen_.size());
    return absl::OkStatus();
  }

  absl::Status AddRow(int64_t line, const std::vector<std::string_view>& fields) {
    if (fields.size() != num_fields_) {
      return At(line, absl::InvalidArgumentError(
                          absl::StrCat("got ", fields.size(), " fields, must be ", num_fields_,
                                       " as in the first line", SeparatorHint())));
    }
    for (size_t c = 0; c < chosen_.size(); ++c) {
      double cell = std::numeric_limits<double>::quiet_NaN();
      const std::string_view field = fields[chosen_[c]];
      if (kinds_[c] != Kind::kText && !IsMissing(field)) {
        const std::optional<double> number = ParseNumber(field);
        if (number.has_value()) {
          cell = *number;
          kinds_[c] = Kind::kNumber;
        } else if (kinds_[c] == Kind::kUnknown) {
          kinds_[c] = Kind::kText;
        } else {
          return At(line, absl::InvalidArgumentError(absl::StrCat(
                              "column ", Quoted(result_.table.columns[c]), ": got ", Quoted(field),
                              ", must be a number (or empty, NA or NaN where it is missing)")));
        }
      }
      if (!std::isfinite(cell) && first_holes_[c].line == 0) first_holes_[c] = {line, cell};
      result_.table.values.push_back(cell);
    }
    ++result_.table.num_rows;
    return absl::OkStatus();
  }

  absl::StatusOr<CsvTable> Finish() {
    Table& table = result_.table;
    if (table.num_rows == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(source_, ": got no rows, must have at least one"));
    }
    std::vector<size_t> kept;
    std::vector<std::string> left_out;
    for (size_t c = 0; c < kinds_.size(); ++c) {
      if (kinds_[c] == Kind::kText) {
        left_out.push_back(table.columns[c]);
      } else {
        kept.push_back(c);
      }
    }
    if (kept.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          source_, ": got no column of numbers, must have at least one", SeparatorHint()));
    }
    int64_t first = std::numeric_limits<int64_t>::max();
    for (const size_t c : kept) {
      const auto& [line, cell] = first_holes_[c];
      if (line == 0 || line >= first) continue;
      first = line;
      result_.finite = At(line, absl::InvalidArgumentError(NotFinite(table.columns[c], cell)));
    }
    if (!left_out.empty()) {
      const size_t width = kinds_.size();
      size_t to = 0;
      for (size_t row = 0; row < static_cast<size_t>(table.num_rows); ++row) {
        for (const size_t c : kept) table.values[to++] = table.values[row * width + c];
      }
      table.values.resize(to);
      for (size_t i = 0; i < kept.size(); ++i) {
        if (kept[i] != i) table.columns[i] = std::move(table.columns[kept[i]]);
      }
      table.columns.resize(kept.size());
      result_.notes.push_back(absl::StrCat(source_, ": left out ", absl::StrJoin(left_out, ", "),
                                           ", which holds text, not numbers"));
    }
    return std::move(result_);
  }

  const std::string& source_;
  const CsvOptions& options_;
  size_t num_fields_ = 0;
  std::vector<size_t> chosen_;  // field of each column of the table
  std::vector<Kind> kinds_;
  std::vector<Hole> first_holes_;  // of each column
  std::string only_field_;         // of a first record that has one field
  CsvTable result_;
};

}  // namespace

absl::StatusOr<CsvTable> ParseCsv(std::string_view text, const std::string& source,
                                  const CsvOptions& options) {
  return TableReader(source, options).Read(text);
}

absl::StatusOr<std::vector<std::string>> SplitCsvRecord(std::string_view record) {
  RecordReader reader(record, ',');
  std::vector<std::string_view> fields;
  const absl::StatusOr<bool> more = reader.Next(fields);
  if (!more.ok()) return more.status();
  std::vector<std::string> out;
  for (const std::string_view field : fields) out.emplace_back(Trim(field));
  return out;
}

void AppendCsvRecord(std::span<const std::string> fields, std::string& out) {
  for (size_t i = 0; i < fields.size(); ++i) {
    if (i > 0) out += ',';
    const std::string& field = fields[i];
    const bool plain = !field.empty() && field.find_first_of(",\"\r\n") == std::string::npos &&
                       Trim(field).size() == field.size();
    if (plain) {
      out += field;
      continue;
    }
    out += '"';
    for (const char c : field) {
      if (c == '"') out += '"';
      out += c;
    }
    out += '"';
  }
  out += '\n';
}

void AppendCsvRecord(std::span<const double> values, std::string& out) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (i > 0) out += ',';
    AppendNumber(values[i], out);
  }
  out += '\n';
}

}  // namespace emserve::client
