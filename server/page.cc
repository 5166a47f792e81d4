#include "server/page.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "server/errors.h"

namespace emserve::server {

absl::StatusOr<int> PageSize(const PageRequest& request) {
  if (request.page_size < 0 || request.page_size > kMaxPageSize) {
    return InvalidArgument(
        "page_size", absl::StrCat("got ", request.page_size, ", must be in 0 to ", kMaxPageSize));
  }
  return request.page_size == 0 ? kDefaultPageSize : request.page_size;
}

std::string EncodePageToken(std::string_view list, std::string_view cursor) {
  return absl::WebSafeBase64Escape(absl::StrCat(std::string(list), "\n", std::string(cursor)));
}

absl::StatusOr<std::string> DecodePageToken(std::string_view list, const PageRequest& request) {
  if (request.page_token.empty()) return "";
  std::string text;
  const std::string head = std::string(list) + "\n";
  if (!absl::WebSafeBase64Unescape(request.page_token, &text) || text.size() <= head.size() ||
      !text.starts_with(head)) {
    return InvalidArgument("page_token",
                           "got a token that this list did not make, must be the next_page_token "
                           "of the page before");
  }
  return text.substr(head.size());
}

}  // namespace emserve::server
