// Whether text is UTF-8: names that are not cannot travel to the server.
#ifndef EMSERVE_CLIENT_UTF8_H_
#define EMSERVE_CLIENT_UTF8_H_

#include <string_view>

namespace emserve::client {

// True if `text` is well-formed UTF-8 (RFC 3629): no overlong forms, no surrogates.
bool IsUtf8(std::string_view text);

}  // namespace emserve::client

#endif  // EMSERVE_CLIENT_UTF8_H_
