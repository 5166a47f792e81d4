// One watch of a job: a cursor into its log that moves as fast as its reader reads.
#ifndef EMSERVE_SERVER_RPC_WATCH_REACTOR_H_
#define EMSERVE_SERVER_RPC_WATCH_REACTOR_H_

#include <algorithm>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

#include "grpcpp/support/server_callback.h"
#include "server/codec/job.h"
#include "server/jobs/watch_hub.h"
#include "server/rpc/call.h"

namespace emserve::server {

// gRPC allows one write at a time and does not say that a reader is slow. So nothing is queued:
// when a write is done, all that came meanwhile goes out as one bounded batch, thinned if the
// reader is far behind. `Response` is v1.WatchJobResponse or v1.FitResponse.
//
// Two owners: gRPC holds the reactor until OnDone, the hub reaches it through a link that OnDone
// cuts.
template <typename Response>
class WatchReactor final : public grpc::ServerWriteReactor<Response> {
 public:
  WatchReactor(Calls& calls, grpc::CallbackServerContext& context, const char* method,
               WatchHub& hub)
      : call_(calls, context, method), hub_(hub), link_(std::make_shared<Link>(this)) {}

  Call& call() { return call_; }

  // Refuses the call. Nothing of the reactor may be touched afterwards, as after Begin: one of them
  // is called, once.
  void Refuse(const absl::Status& status) {
    const std::lock_guard lock(mutex_);
    begun_ = true;
    FinishLocked(status);
  }

  // Begins to watch `job` after sequence `after`.
  void Begin(std::shared_ptr<const Job> job, int64_t after) {
    {
      const std::lock_guard lock(mutex_);
      job_ = std::move(job);
      cursor_ = after;
      call_.Note("job", job_->id());
    }
    hub_.Subscribe(job_, link_);  // may signal at once, on this thread
    const std::lock_guard lock(mutex_);
    begun_ = true;
    if (cancelled_) return FinishLocked(absl::CancelledError("the reader has gone"));
    WriteNextLocked();
  }

  void OnWriteDone(bool ok) override {
    const std::lock_guard lock(mutex_);
    writing_ = false;
    if (!ok) return FinishLocked(absl::CancelledError("the reader has gone"));
    WriteNextLocked();
  }

  void OnCancel() override {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    if (begun_) FinishLocked(absl::CancelledError("the reader has gone"));
  }

  void OnDone() override {
    { const std::lock_guard lock(mutex_); }  // whoever called Finish has let go
    if (job_ != nullptr) hub_.Unsubscribe(*job_, *link_);
    link_->Cut();
    delete this;
  }

 private:
  // A few kilobytes a message, so that a watch gets on over a connection that keeps breaking.
  static constexpr int kBatchEvents = 64;
  static constexpr int64_t kFarBehind = 8192;
  static constexpr int kThinnedEvents = 512;

  class Link final : public Watcher {
   public:
    explicit Link(WatchReactor* reactor) : reactor_(reactor) {}
    void OnSignal(Signal signal) override {
      const std::lock_guard lock(mutex_);
      if (reactor_ != nullptr) reactor_->OnSignal(signal);
    }
    void Cut() {
      const std::lock_guard lock(mutex_);
      reactor_ = nullptr;
    }

   private:
    std::mutex mutex_;
    WatchReactor* reactor_;
  };

  void OnSignal(Watcher::Signal signal) {
    const std::lock_guard lock(mutex_);
    switch (signal) {
      case Watcher::Signal::kClosed:
        closed_ = true;
        break;
      case Watcher::Signal::kHeartbeat:
        heartbeat_ = !wrote_since_heartbeat_;
        wrote_since_heartbeat_ = false;
        break;
      case Watcher::Signal::kNews:
        break;
    }
    WriteNextLocked();
  }

  // Sends what is due, if nothing is under way.
  void WriteNextLocked() {
    if (writing_ || finished_ || !begun_) return;
    if (ended_) return FinishLocked(absl::OkStatus());
    response_.Clear();
    const JobSnapshot snapshot = job_->Snapshot();
    const int64_t behind = snapshot.last_sequence - cursor_;
    EventBatch batch = behind > kFarBehind ? job_->log().ReadThinned(cursor_, kThinnedEvents)
                                           : job_->log().Read(cursor_, kBatchEvents);
    cursor_ = batch.cursor;
    for (const JobEvent& event : batch.events) EncodeEvent(event, *response_.add_events());
    response_.set_skipped_count(batch.skipped_count);
    // The snapshot was taken first: if the job had ended by then, its log is complete up to
    // last_sequence.
    ended_ = IsEnded(snapshot.state) && cursor_ >= snapshot.last_sequence;
    if (!greeted_ || ended_) EncodeJob(snapshot, *response_.mutable_job());
    const bool news = !greeted_ || ended_ || !batch.events.empty();
    if (!news && closed_) {
      return FinishLocked(
          absl::UnavailableError("the server is shutting down; resume the watch with another"));
    }
    if (!news && !heartbeat_) return;
    greeted_ = true;
    heartbeat_ = false;
    wrote_since_heartbeat_ = true;
    writing_ = true;
    this->StartWrite(&response_);
  }

  void FinishLocked(const absl::Status& status) {
    if (std::exchange(finished_, true)) return;
    this->Finish(call_.End(status));
  }

  Call call_;
  WatchHub& hub_;
  const std::shared_ptr<Link> link_;
  std::mutex mutex_;  // guards what follows; the hub's and gRPC's threads both come here
  std::shared_ptr<const Job> job_;
  int64_t cursor_ = 0;
  Response response_;
  bool begun_ =
      false;  // until then nothing is written and nothing ends, so the reactor cannot go away
  bool cancelled_ = false;
  bool greeted_ = false;
  bool writing_ = false;
  bool ended_ = false;
  bool closed_ = false;
  bool finished_ = false;
  bool heartbeat_ = false;
  bool wrote_since_heartbeat_ = true;
};

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_RPC_WATCH_REACTOR_H_
