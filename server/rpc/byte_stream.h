// Sends a run of bytes as a stream of chunks, as fast as the reader reads.
#ifndef EMSERVE_SERVER_RPC_BYTE_STREAM_H_
#define EMSERVE_SERVER_RPC_BYTE_STREAM_H_

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string_view>
#include <utility>

#include "grpcpp/support/server_callback.h"
#include "server/rpc/call.h"

namespace emserve::server {

// `Response` has a bytes field `data`. One chunk is in flight at a time, so a slow reader costs one
// chunk of memory.
template <typename Response>
class ByteStreamReactor final : public grpc::ServerWriteReactor<Response> {
 public:
  // Small enough to get through a connection that breaks every few hundred kilobytes.
  static constexpr size_t kChunk = size_t{256} << 10;

  ByteStreamReactor(Calls& calls, grpc::CallbackServerContext& context, const char* method)
      : call_(calls, context, method), calls_(calls) {}

  Call& call() { return call_; }

  // Runs `find` on an executor; it names what to send by Send, or says why there is nothing.
  void Prepare(std::function<absl::Status()> find) {
    const absl::Status queued = calls_.control().Submit([this, find = std::move(find)] {
      const absl::Status status = call_.Try(find);
      status.ok() ? Next() : Finish(status);
    });
    if (!queued.ok()) Finish(queued);
  }

  // `bytes` from `offset` on are sent; `owner` keeps them. `describe` adds to each chunk, given its
  // offset.
  void Send(std::string_view bytes, std::shared_ptr<const void> owner, size_t offset,
            std::function<void(Response&, int64_t)> describe) {
    bytes_ = bytes;
    owner_ = std::move(owner);
    offset_ = offset;
    describe_ = std::move(describe);
  }

  void OnWriteDone(bool ok) override {
    ok ? Next() : Finish(absl::CancelledError("the reader has gone"));
  }
  void OnDone() override { delete this; }

 private:
  void Next() {
    if (offset_ >= bytes_.size()) return Finish(absl::OkStatus());
    const std::string_view chunk = bytes_.substr(offset_, kChunk);
    response_.Clear();
    response_.set_data(chunk.data(), chunk.size());
    describe_(response_, static_cast<int64_t>(offset_));
    offset_ += chunk.size();
    this->StartWrite(&response_);
  }
  void Finish(const absl::Status& status) {
    grpc::ServerWriteReactor<Response>::Finish(call_.End(status));
  }

  Call call_;
  Calls& calls_;
  Response response_;
  std::string_view bytes_;
  std::shared_ptr<const void> owner_;
  size_t offset_ = 0;
  std::function<void(Response&, int64_t)> describe_;
};

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_RPC_BYTE_STREAM_H_
