// Numbers as text, both ways, without locale and without loss.
#ifndef EMSERVE_CLIENT_NUMBER_H_
#define EMSERVE_CLIENT_NUMBER_H_

#include <optional>
#include <string>
#include <string_view>

namespace emserve::client {

// The shortest text that reads back as the same double; "NaN", "Inf" and "-Inf".
std::string FormatNumber(double value);
void AppendNumber(double value, std::string& out);

// The double nearest to `text`, which may have a sign, a decimal point, an exponent, and blanks
// around it; "inf" and "nan" in any case. Nothing if it is anything else or too large for a double.
// A number too small for a double is rounded to a subnormal or zero.
std::optional<double> ParseNumber(std::string_view text);

}  // namespace emserve::client

#endif  // EMSERVE_CLIENT_NUMBER_H_
