// Answers of list calls: pages that are bounded in bytes as well as in number.
#ifndef EMSERVE_SERVER_RPC_PAGE_ANSWER_H_
#define EMSERVE_SERVER_RPC_PAGE_ANSWER_H_

#include <cstddef>
#include <utility>

#include "absl/status/status.h"
#include "server/page.h"

namespace emserve::server {

// Below what stock clients receive (4 MiB).
inline constexpr size_t kMaxPageBytes = size_t{2} << 20;

// Fills `response` with one page. `list(PageRequest)` gives it, `add(item)` encodes one item into
// the response and returns the message. A page that grows beyond kMaxPageBytes ends before the item
// that does it, unless that is its only one.
template <typename Response, typename List, typename Add>
absl::Status AnswerPage(PageRequest request, Response& response, const List& list, const Add& add) {
  while (true) {
    auto page = list(std::as_const(request));
    if (!page.ok()) return page.status();
    size_t bytes = 0;
    int fitting = 0;
    for (const auto& item : page->items) {
      bytes += add(item).ByteSizeLong();
      if (bytes > kMaxPageBytes && fitting > 0) break;
      ++fitting;
    }
    if (fitting == static_cast<int>(page->items.size())) {
      response.set_next_page_token(page->next_page_token);
      return absl::OkStatus();
    }
    // A page of that many has the right token.
    response.Clear();
    request.page_size = fitting;
  }
}

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_RPC_PAGE_ANSWER_H_
