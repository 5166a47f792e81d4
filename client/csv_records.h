// CSV text as records of fields, before anyone asks what they mean.
#ifndef EMSERVE_CLIENT_CSV_RECORDS_H_
#define EMSERVE_CLIENT_CSV_RECORDS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace emserve::client {

// Cuts text into records. Unquoted fields are views of the text; quoted ones live in `unquoted_`.
class RecordReader {
 public:
  RecordReader(std::string_view text, char separator) : rest_(text), separator_(separator) {}

  // Reads the next record into `fields`, valid until the next call. False at the end of the text,
  // where the last line feed ends a record and begins none; a quote that is not closed is an error.
  absl::StatusOr<bool> Next(std::vector<std::string_view>& fields);

  // Line, from 1, where the last record began.
  int64_t line() const { return line_; }
  // True if the last record is a line without anything but spaces and tabs, not even a quote.
  bool is_blank() const { return is_blank_; }

 private:
  absl::Status ReadRecord(std::vector<std::string_view>& fields);
  absl::Status ReadQuoted(std::vector<std::string_view>& fields);

  std::string_view rest_;
  const char separator_;
  int64_t line_ = 1;
  int64_t next_line_ = 1;
  bool quoted_ = false;
  bool is_blank_ = false;
  std::vector<std::string> unquoted_;
  std::vector<std::pair<size_t, size_t>> pending_;
};

// Without blanks and tabs at its ends.
std::string_view Trim(std::string_view text);

// `text` for an error message: printable, on one line, not too long.
std::string Quoted(std::string_view text);

}  // namespace emserve::client

#endif  // EMSERVE_CLIENT_CSV_RECORDS_H_
