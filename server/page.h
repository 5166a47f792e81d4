// Pages of lists: sizes, opaque tokens and the slice they stand for.
#ifndef EMSERVE_SERVER_PAGE_H_
#define EMSERVE_SERVER_PAGE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace emserve::server {

inline constexpr int kDefaultPageSize = 50;
inline constexpr int kMaxPageSize = 1000;

// What a list request asks for, as it came.
struct PageRequest {
  int page_size = 0;       // 0 to kMaxPageSize; 0 means kDefaultPageSize
  std::string page_token;  // empty: the first page
};

template <typename Item>
struct Page {
  std::vector<Item> items;
  std::string next_page_token;  // empty on the last page
};

// The number of items to return; InvalidArgument under "page_size".
absl::StatusOr<int> PageSize(const PageRequest& request);

// Tokens carry the cursor behind which the next page begins and the list they belong to.
std::string EncodePageToken(std::string_view list, std::string_view cursor);
// The cursor, empty for the first page; InvalidArgument under "page_token" for a token that this
// list did not make.
absl::StatusOr<std::string> DecodePageToken(std::string_view list, const PageRequest& request);

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_PAGE_H_
