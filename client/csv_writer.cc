// Records of csv.h as text.
#include <cmath>
#include <string>

#include "client/csv.h"
#include "client/csv_records.h"
#include "client/number.h"

namespace emserve::client {
namespace {

// A field, quoted where needed.
void AppendField(const std::string& field, std::string& out) {
  const bool plain = !field.empty() && field.find_first_of(",\"\r\n") == std::string::npos &&
                     Trim(field).size() == field.size();
  if (plain) {
    out += field;
    return;
  }
  out += '"';
  for (const char c : field) {
    if (c == '"') out += '"';
    out += c;
  }
  out += '"';
}

}  // namespace

void AppendCsvRecord(std::span<const std::string> fields, std::string& out) {
  for (size_t i = 0; i < fields.size(); ++i) {
    if (i > 0) out += ',';
    AppendField(fields[i], out);
  }
  out += '\n';
}

void AppendCsvRecord(std::span<const double> values,
                     std::span<const std::vector<std::string>> levels, std::string& out) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (i > 0) out += ',';
    const double value = values[i];
    // NaN is in no range.
    if (i < levels.size() && value >= 0 && value < static_cast<double>(levels[i].size()) &&
        value == std::floor(value)) {
      AppendField(levels[i][static_cast<size_t>(value)], out);
    } else {
      AppendNumber(value, out);
    }
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
