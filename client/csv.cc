#include "client/csv.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/csv_records.h"
#include "client/number.h"
#include "client/utf8.h"

namespace emserve::client {
namespace {

bool EqualWords(std::string_view a, std::string_view b) {
  return absl::EqualsIgnoreCase(absl::string_view(a.data(), a.size()),
                                absl::string_view(b.data(), b.size()));
}

bool IsMissing(std::string_view field, const std::vector<std::string>& words) {
  const std::string_view text = Trim(field);
  return text.empty() || std::any_of(words.begin(), words.end(), [text](const std::string& word) {
           return EqualWords(text, word);
         });
}

// True if the fields of a first record are numbers, or missing ones among numbers.
bool LooksLikeData(const std::vector<std::string_view>& fields,
                   const std::vector<std::string>& missing) {
  bool any = false;
  for (const std::string_view field : fields) {
    const bool is_number = ParseNumber(field).has_value();
    if (!is_number && (Trim(field).empty() || !IsMissing(field, missing))) return false;
    any = any || is_number;
  }
  return any;
}

// The categories of a column of text, numbered as they come or as they are given.
struct Categories {
  absl::flat_hash_map<std::string, int64_t> codes;
  std::vector<std::string> texts;
  bool is_given = false;
};

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
    int64_t num_blank = 0;
    while (more.ok() && *more && records.is_blank()) {
      ++num_blank;
      more = records.Next(fields);
    }
    if (!more.ok()) return At(records.line(), more.status());
    if (!*more) {
      return absl::InvalidArgumentError(
          absl::StrCat(source_, ": got an empty file, must have a header and at least one row"));
    }
    absl::Status status = ChooseColumns(records.line(), fields);
    if (status.ok() && !has_header()) {
      for (int64_t line = 1; num_fields_ == 1 && line <= num_blank; ++line) AddBlankRow(line);
      status = AddRow(records.line(), fields);
    }
    while (status.ok()) {
      more = records.Next(fields);
      if (!more.ok()) return At(records.line(), more.status());
      if (!*more) break;
      if (records.is_blank()) {
        AddBlankRow(records.line());
      } else {
        status = AddRow(records.line(), fields);
      }
    }
    if (!status.ok()) return status;
    return Finish();
  }

 private:
  // Text columns are left out; category columns hold codes until Finish, be they text or not.
  enum class Kind { kUnknown, kNumber, kText, kCategory };

  // The first lines, 0 if none, with a cell that is missing or infinite.
  struct Holes {
    int64_t missing = 0;
    int64_t infinite = 0;
    double cell = 0;  // the infinite one
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
    if (!options_.header.has_value() && !has_chosen && LooksLikeData(fields, options_.missing)) {
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
    holes_.resize(chosen_.size());
    categories_.resize(chosen_.size());
    for (size_t c = 0; c < chosen_.size(); ++c) ChooseKind(c);
    return absl::OkStatus();
  }

  void ChooseKind(size_t c) {
    const std::string& name = result_.table.columns[c];
    const auto contains = [&name](const std::vector<std::string>& names) {
      return std::find(names.begin(), names.end(), name) != names.end();
    };
    if (const auto given = options_.levels.find(name); given != options_.levels.end()) {
      kinds_[c] = Kind::kCategory;
      categories_[c].is_given = true;
      categories_[c].texts = given->second;
      for (size_t level = 0; level < given->second.size(); ++level) {
        categories_[c].codes.emplace(given->second[level], static_cast<int64_t>(level));
      }
    } else if (contains(options_.categories) ||
               (options_.all_categories && !contains(options_.numbers))) {
      kinds_[c] = Kind::kCategory;
    }
  }

  absl::StatusOr<double> Code(int64_t line, size_t c, std::string_view field) {
    Categories& categories = categories_[c];
    std::string text(Trim(field));
    const auto found = categories.codes.find(text);
    if (found != categories.codes.end()) return static_cast<double>(found->second);
    const std::string column = absl::StrCat("column ", Quoted(result_.table.columns[c]), ": ");
    if (categories.is_given) {
      const size_t shown = std::min<size_t>(10, categories.texts.size());
      return At(line,
                absl::InvalidArgumentError(absl::StrCat(
                    column, "got ", Quoted(text), ", must be one of the model's categories: ",
                    absl::StrJoin(categories.texts.begin(),
                                  categories.texts.begin() + static_cast<ptrdiff_t>(shown), ", "),
                    shown < categories.texts.size() ? ", ..." : "")));
    }
    if (!IsUtf8(text)) {
      return At(
          line,
          absl::InvalidArgumentError(absl::StrCat(
              column, "the category is not UTF-8; convert the file (iconv -f latin1 -t utf-8)")));
    }
    const auto code = static_cast<int64_t>(categories.texts.size());
    categories.codes.emplace(text, code);
    categories.texts.push_back(std::move(text));
    return static_cast<double>(code);
  }

  // Turns the codes of a column into numbers if all its cells are numbers, else into the indices of
  // its sorted categories, which are then the column's levels.
  void SettleCategories(size_t c) {
    Categories& categories = categories_[c];
    std::vector<double> values(categories.texts.size());
    bool all_numbers = true;
    for (size_t i = 0; i < values.size() && all_numbers; ++i) {
      const std::optional<double> number = ParseNumber(categories.texts[i]);
      all_numbers = number.has_value();
      values[i] = number.value_or(0);
    }
    if (!all_numbers) {
      std::vector<std::string> sorted = categories.texts;
      std::sort(sorted.begin(), sorted.end());
      for (size_t i = 0; i < values.size(); ++i) {
        const auto at = std::lower_bound(sorted.begin(), sorted.end(), categories.texts[i]);
        values[i] = static_cast<double>(at - sorted.begin());
      }
      categories.texts = std::move(sorted);
    } else {
      categories.texts.clear();
    }
    Table& table = result_.table;
    const size_t width = kinds_.size();
    for (size_t row = 0; row < static_cast<size_t>(table.num_rows); ++row) {
      double& cell = table.values[row * width + c];
      if (!std::isnan(cell)) cell = values[static_cast<size_t>(cell)];
    }
  }

  // The next row stands on this line.
  void NoteLine(int64_t line) {
    std::vector<std::pair<int64_t, int64_t>>& lines = result_.lines;
    const int64_t row = result_.table.num_rows;
    if (lines.empty() || line - lines.back().second != row - lines.back().first) {
      lines.emplace_back(row, line);
    }
  }

  // An empty line is how a table of one column has a missing cell. In any other a row is gone, and
  // nobody can say which cells it had, unless nothing follows.
  void AddBlankRow(int64_t line) {
    if (num_blank_++ == 0) first_blank_ = line;
    if (num_fields_ > 1) return;
    NoteLine(line);
    for (Holes& holes : holes_) {
      if (holes.missing == 0) holes.missing = line;
      result_.table.values.push_back(std::numeric_limits<double>::quiet_NaN());
    }
    ++result_.table.num_rows;
  }

  absl::Status AddRow(int64_t line, const std::vector<std::string_view>& fields) {
    if (num_blank_ > 0 && num_fields_ > 1) {
      return At(first_blank_, absl::InvalidArgumentError(absl::StrCat(
                                  "got an empty line, must have ", num_fields_,
                                  " cells; take it out, or ", "write a row of missing cells")));
    }
    num_blank_ = 0;
    NoteLine(line);
    if (fields.size() != num_fields_) {
      return At(line, absl::InvalidArgumentError(
                          absl::StrCat("got ", fields.size(), " fields, must be ", num_fields_,
                                       " as in the first line", SeparatorHint())));
    }
    for (size_t c = 0; c < chosen_.size(); ++c) {
      double cell = std::numeric_limits<double>::quiet_NaN();
      const std::string_view field = fields[chosen_[c]];
      if (kinds_[c] == Kind::kText || IsMissing(field, options_.missing)) {
        // stays missing
      } else if (kinds_[c] == Kind::kCategory) {
        const absl::StatusOr<double> code = Code(line, c, field);
        if (!code.ok()) return code.status();
        cell = *code;
      } else if (const std::optional<double> number = ParseNumber(field); number.has_value()) {
        cell = *number;
        kinds_[c] = Kind::kNumber;
      } else if (kinds_[c] == Kind::kUnknown) {
        kinds_[c] = Kind::kText;
      } else {
        return At(line, absl::InvalidArgumentError(absl::StrCat(
                            "column ", Quoted(result_.table.columns[c]), ": got ", Quoted(field),
                            ", must be a number (or empty, NA, NaN or ? where it is missing)")));
      }
      Holes& holes = holes_[c];
      if (std::isnan(cell) && holes.missing == 0) holes.missing = line;
      if (std::isinf(cell) && holes.infinite == 0) {
        holes.infinite = line;
        holes.cell = cell;
      }
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
    bool any_levels = false;
    for (const size_t c : kept) {
      if (kinds_[c] == Kind::kCategory && !categories_[c].is_given) SettleCategories(c);
      any_levels = any_levels || !categories_[c].texts.empty();
    }
    if (any_levels) {
      for (const size_t c : kept) table.levels.push_back(std::move(categories_[c].texts));
    }
    FindHoles(kept);
    if (num_fields_ == 1 && num_blank_ > 0) {
      result_.notes.push_back(absl::StrCat(
          source_, ": took ", num_blank_, " empty ", num_blank_ == 1 ? "line" : "lines",
          " at its end as ", num_blank_ == 1 ? "a row" : "rows", " with a missing cell"));
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

  void FindHoles(const std::vector<size_t>& kept) {
    int64_t missing = std::numeric_limits<int64_t>::max();
    int64_t infinite = missing;
    for (const size_t c : kept) {
      const std::string column = absl::StrCat("column ", Quoted(result_.table.columns[c]), ": ");
      const Holes& holes = holes_[c];
      if (holes.missing > 0 && holes.missing < missing) {
        missing = holes.missing;
        result_.complete =
            At(missing,
               absl::InvalidArgumentError(absl::StrCat(column, "is missing; leave the row out")));
      }
      if (holes.infinite > 0 && holes.infinite < infinite) {
        infinite = holes.infinite;
        result_.finite =
            At(infinite, absl::InvalidArgumentError(absl::StrCat(
                             column, "got ", FormatNumber(holes.cell), ", must be finite")));
      }
    }
  }

  const std::string& source_;
  const CsvOptions& options_;
  size_t num_fields_ = 0;
  // Empty lines since the last row.
  int64_t num_blank_ = 0;
  int64_t first_blank_ = 0;
  std::vector<size_t> chosen_;  // field of each column of the table
  std::vector<Kind> kinds_;
  std::vector<Holes> holes_;            // of each column
  std::vector<Categories> categories_;  // of each column
  std::string only_field_;              // of a first record that has one field
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

}  // namespace emserve::client
