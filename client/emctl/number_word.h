// Numbers as people type them: nothing but a number of its type. CLI11 lets -1 and 1e30 wrap or
// saturate in integers, and reads 010 as octal.
#ifndef EMSERVE_CLIENT_EMCTL_NUMBER_WORD_H_
#define EMSERVE_CLIENT_EMCTL_NUMBER_WORD_H_

#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/number.h"

namespace emserve::emctl {

// Parses the word into `value`; what it must be if it is not. Only what the type can hold is
// checked: what makes sense is for the engine to say.
template <typename T>
std::string ParseNumberInto(const std::string& word, T& value) {
  if constexpr (std::is_same_v<T, double>) {
    const std::optional<double> parsed = client::ParseNumber(word);
    if (!parsed.has_value() || !std::isfinite(*parsed)) return "a finite number";
    value = *parsed;
  } else {
    T parsed = 0;
    if (!absl::SimpleAtoi(word, &parsed)) {
      if (std::is_same_v<T, int64_t>) return "an integer";
      return absl::StrCat("an integer from ", std::numeric_limits<T>::min(), " to ",
                          std::numeric_limits<T>::max());
    }
    value = parsed;
  }
  return "";
}

}  // namespace emserve::emctl

#endif  // EMSERVE_CLIENT_EMCTL_NUMBER_WORD_H_
