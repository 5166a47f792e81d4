#include "server/jobs/watch_hub.h"

#include <algorithm>
#include <utility>

#include "server/jobs/job.h"

namespace emserve::server {
namespace {

// A clock that was set back must not put the thread to sleep for long.
constexpr absl::Duration kLongestSleep = absl::Seconds(10);

}  // namespace

WatchHub::WatchHub(WatchHubOptions options) : options_(std::move(options)) {
  next_heartbeat_ = options_.clock() + options_.heartbeat;
  if (options_.start_thread) thread_ = std::jthread([this] { Work(); });
}

WatchHub::~WatchHub() { Close(); }

void WatchHub::Subscribe(std::shared_ptr<const Job> job, std::weak_ptr<Watcher> watcher) {
  {
    const std::lock_guard lock(mutex_);
    if (!closed_) {
      Watch& watch = watches_[job.get()];
      watch.watchers.push_back(std::move(watcher));
      job->num_watchers_ = static_cast<int>(watch.watchers.size());
      watch.job = std::move(job);
      return;
    }
  }
  if (const std::shared_ptr<Watcher> live = watcher.lock())
    live->OnSignal(Watcher::Signal::kClosed);
}

void WatchHub::Unsubscribe(const Job& job, const Watcher& watcher) {
  std::shared_ptr<const Job> unwatched;  // freed outside the lock
  const std::lock_guard lock(mutex_);
  const auto found = watches_.find(&job);
  if (found == watches_.end()) return;
  std::erase_if(found->second.watchers, [&watcher](const std::weak_ptr<Watcher>& one) {
    const std::shared_ptr<Watcher> live = one.lock();
    return live == nullptr || live.get() == &watcher;
  });
  job.num_watchers_ = static_cast<int>(found->second.watchers.size());
  if (!found->second.watchers.empty()) return;
  unwatched = std::move(found->second.job);
  watches_.erase(found);
}

void WatchHub::Notify(const Job& job, bool urgent) {
  if (job.num_watchers_ == 0) return;
  if (job.has_news_.exchange(true) && !urgent) return;
  {
    const std::lock_guard lock(mutex_);
    const auto found = watches_.find(&job);
    if (found == watches_.end()) {
      job.has_news_ = false;
      return;
    }
    news_.push_back(found->second.job);
    if (urgent) next_round_ = absl::InfinitePast();
    woken_ = true;
  }
  wake_.notify_one();
}

int64_t WatchHub::AddTimer(std::function<absl::Time(absl::Time)> timer) {
  int64_t handle = 0;
  {
    const std::lock_guard lock(mutex_);
    handle = next_handle_++;
    auto entry = std::make_shared<Timer>();
    entry->run = std::move(timer);
    timers_.emplace(handle, std::move(entry));
    woken_ = true;
  }
  wake_.notify_one();
  return handle;
}

void WatchHub::RemoveTimer(int64_t handle) {
  const std::lock_guard round(rounds_);
  const std::lock_guard lock(mutex_);
  timers_.erase(handle);
}

void WatchHub::Wake() {
  {
    const std::lock_guard lock(mutex_);
    run_timers_ = woken_ = true;
  }
  wake_.notify_one();
}

void WatchHub::RunTimers(absl::Time now) {
  std::vector<std::shared_ptr<Timer>> due;
  {
    const std::lock_guard lock(mutex_);
    const bool all = std::exchange(run_timers_, false);
    for (const auto& [handle, timer] : timers_) {
      if (all || timer->next <= now) due.push_back(timer);
    }
  }
  for (const std::shared_ptr<Timer>& timer : due) timer->next = timer->run(now);
}

std::vector<std::shared_ptr<Watcher>> WatchHub::LiveLocked(const Job* job) {
  std::vector<std::shared_ptr<Watcher>> live;
  auto it = job == nullptr ? watches_.begin() : watches_.find(job);
  while (it != watches_.end()) {
    std::vector<std::weak_ptr<Watcher>>& watchers = it->second.watchers;
    std::erase_if(watchers, [&live](const std::weak_ptr<Watcher>& one) {
      std::shared_ptr<Watcher> watcher = one.lock();
      if (watcher == nullptr) return true;
      live.push_back(std::move(watcher));
      return false;
    });
    it->second.job->num_watchers_ = static_cast<int>(watchers.size());
    it = watchers.empty() ? watches_.erase(it) : std::next(it);
    if (job != nullptr) break;
  }
  return live;
}

absl::Time WatchHub::RunOnce() {
  const std::lock_guard round(rounds_);
  const absl::Time now = options_.clock();
  RunTimers(now);

  std::vector<std::shared_ptr<const Job>> jobs;
  std::vector<std::pair<std::shared_ptr<Watcher>, Watcher::Signal>> signals;
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return absl::InfiniteFuture();
    // Both may only be far ahead when the clock was set back.
    if (now >= next_heartbeat_ || next_heartbeat_ > now + options_.heartbeat) {
      next_heartbeat_ = now + options_.heartbeat;
      for (std::shared_ptr<Watcher>& watcher : LiveLocked(nullptr)) {
        signals.emplace_back(std::move(watcher), Watcher::Signal::kHeartbeat);
      }
    }
    if (!news_.empty() && (now >= next_round_ || next_round_ > now + options_.round_interval)) {
      next_round_ = now + options_.round_interval;
      for (const std::weak_ptr<const Job>& news : std::exchange(news_, {})) {
        std::shared_ptr<const Job> job = news.lock();
        // False: urgent news that came twice.
        if (job == nullptr || !job->has_news_.exchange(false)) continue;
        for (std::shared_ptr<Watcher>& watcher : LiveLocked(job.get())) {
          signals.emplace_back(std::move(watcher), Watcher::Signal::kNews);
        }
        jobs.push_back(std::move(job));
      }
    }
  }
  for (const auto& [watcher, signal] : signals) watcher->OnSignal(signal);

  const std::lock_guard lock(mutex_);
  absl::Time next = next_heartbeat_;
  if (!news_.empty()) next = std::min(next, next_round_);
  for (const auto& [handle, timer] : timers_) next = std::min(next, timer->next);
  return next;
}

void WatchHub::Work() {
  while (true) {
    const absl::Time next = RunOnce();
    std::unique_lock lock(mutex_);
    const absl::Duration pause =
        std::clamp(next - options_.clock(), absl::ZeroDuration(), kLongestSleep);
    wake_.wait_for(lock, absl::ToChronoNanoseconds(pause), [this] { return closed_ || woken_; });
    woken_ = false;
    if (closed_) return;
  }
}

void WatchHub::Close() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
  const std::lock_guard round(rounds_);
  std::vector<std::shared_ptr<Watcher>> watchers;
  std::map<const Job*, Watch> watches;  // freed outside the lock
  {
    const std::lock_guard lock(mutex_);
    watchers = LiveLocked(nullptr);
    for (const auto& [job, watch] : watches_) job->num_watchers_ = 0;
    watches.swap(watches_);
  }
  for (const std::shared_ptr<Watcher>& watcher : watchers) {
    watcher->OnSignal(Watcher::Signal::kClosed);
  }
}

int64_t WatchHub::num_watchers() const {
  const std::lock_guard lock(mutex_);
  int64_t count = 0;
  for (const auto& [job, watch] : watches_) count += static_cast<int64_t>(watch.watchers.size());
  return count;
}

}  // namespace emserve::server
